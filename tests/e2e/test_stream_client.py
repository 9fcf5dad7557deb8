"""``framewire-client stream`` and VideoStream against the real server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from builder.cli import main
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from tests.conftest import ROOT
from tests.serving import Serving, serving
from tests.thin_client.streaming.videos import FPS, HEIGHT, WIDTH, write_video
from tests.tiny_detector import (
    coloured_square,
    own_metadata,
    save_tiny_detector,
    tiny_detector,
)
from thin_client import Detector
from thin_client.contract import Codec


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    model = save_tiny_detector(folder / "tiny.onnx")
    build_pipeline(model, folder / "repository", BuildSettings("tiny", conf=0.1, stream=True))
    return folder / "repository"


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Serving]:
    with serving(repository) as running:
        yield running


def stream(server: Serving, video: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "thin_client.cli", "stream", str(video)]
    return subprocess.run(
        [*command, "--url", server.url, "--model", "tiny", *options],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def expected_us(count: int) -> list[float]:
    return [number * 1e6 / FPS for number in range(count)]


@pytest.mark.parametrize(
    ("name", "codec", "b_frames"),
    [
        ("h264.mp4", "libx264", 0),
        ("b_frames.mp4", "libx264", 3),
        ("h265.mkv", "libx265", 0),
        ("mjpeg.avi", "mjpeg", 0),
        ("other.avi", "mpeg4", 0),
    ],
)
def test_every_frame_of_a_file_is_answered_in_order(
    server: Serving, tmp_path: Path, name: str, codec: str, b_frames: int
) -> None:
    video = write_video(tmp_path / name, codec, count=70, b_frames=b_frames)
    done = stream(server, video, "--every-frame", "--json")
    assert done.returncode == 0, done.stderr
    *frames, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert [frame["timestamp_us"] for frame in frames] == pytest.approx(expected_us(70), abs=1000)
    assert {(frame["width"], frame["height"]) for frame in frames} == {(WIDTH, HEIGHT)}
    assert last["statistics"]["frames"] == 70
    assert last["statistics"]["dropped"] == 0


def test_boxes_are_those_of_the_same_frames_sent_as_pictures(
    server: Serving, tmp_path: Path
) -> None:
    # Motion JPEG, whose packets are pictures already.
    video = write_video(tmp_path / "video.avi", "mjpeg", count=12)
    with Detector(server.url, "tiny") as detector:
        with detector.video_stream(str(video), every_frame=True) as running:
            streamed = [result.detections for result in running]
        with av.open(str(video)) as container:
            packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
        sent = [detector.detect(packet) for packet in packets]
    assert [found.to_dict() for found in streamed] == [found.to_dict() for found in sent]


def test_the_command_says_what_it_chose_and_how_it_went(server: Serving, tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", count=60)
    done = stream(server, video)
    assert done.returncode == 0, done.stderr
    assert re.match(
        r"framewire-client: link [\d.]+ Mbit/s, round trip [\d.]+ ms: the source's H.264 passes",
        done.stderr,
    )
    assert re.search(r"\d+ frames  [\d.]+/s  latency p50 \d+ p95 \d+ ms  \d+ KB/s", done.stdout)


def test_an_annotated_video_has_every_frame(server: Serving, tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", count=40)
    out = tmp_path / "annotated.mp4"
    done = stream(server, video, "--every-frame", "--out", str(out))
    assert done.returncode == 0, done.stderr
    with av.open(str(out)) as container:
        frames = [(frame.width, frame.height) for frame in container.decode(video=0)]
    assert frames == [(WIDTH, HEIGHT)] * 40


def test_boxes_of_smaller_pictures_are_in_pixels_of_the_source(
    server: Serving, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "video.mp4", count=10)
    options = ("--codec", "jpeg", "--max-side", "160", "--quality", "90", "--json")
    done = stream(server, video, "--every-frame", *options)
    assert done.returncode == 0, done.stderr
    *frames, _ = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(frames) == 10
    assert {(frame["width"], frame["height"]) for frame in frames} == {(WIDTH, HEIGHT)}


def test_after_the_server_was_started_again_the_stream_goes_on(
    repository: Path, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "long.mp4", count=2400, key_every=30)
    said: list[str] = []
    first = Serving(repository)
    second: subprocess.Popen[str] | None = None
    ports = [first.grpc_port, first.http_port, first.metrics_port]
    try:
        first.wait_until_ready()
        with (
            Detector(first.url, "tiny") as detector,
            detector.video_stream(str(video), say=said.append) as running,
        ):
            results = iter(running)
            for _ in range(30):
                next(results)
            first.stop()
            options = zip(("--grpc-port", "--http-port", "--metrics-port"), ports, strict=True)
            second = subprocess.Popen(
                [
                    *(sys.executable, "-m", "builder.cli", "serve", "--no-supervise"),
                    *("--repository", str(repository)),
                    *(str(word) for pair in options for word in pair),
                ],
                stdout=subprocess.PIPE,
                text=True,
            )
            while not any(sentence.startswith("connected again") for sentence in said):
                next(results)
            after = [next(results) for _ in range(20)]
        assert all(result.detections.ok for result in after)
    finally:
        first.stop()
        if second is not None:
            second.terminate()
            second.wait(60)
            assert second.stdout is not None
            second.stdout.close()


def test_the_demo_pipeline_takes_streams(tmp_path: Path) -> None:
    with av.open(str(ROOT / "samples" / "warehouse.jpg")) as container:
        picture = next(container.decode(video=0))
    video = tmp_path / "still.mp4"
    with av.open(str(video), "w") as container:
        track = container.add_stream("libx264", rate=5, options={"bf": "0", "crf": "18"})
        track.width, track.height, track.pix_fmt = picture.width, picture.height, "yuv420p"
        for number in range(3):
            frame = picture.reformat(format="yuv420p")
            frame.pts = number
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    with serving(ROOT / "model_repository") as server, Detector(server.url, "codes") as detector:
        expected = detector.detect((ROOT / "samples" / "warehouse.jpg").read_bytes())
        with detector.video_stream(str(video), every_frame=True) as running:
            assert running.plan.codec is Codec.H264
            found = [result.detections for result in running]
    assert len(found) == 3
    for detections in found:
        assert set(detections.labels) == set(expected.labels)
        assert len(detections) == pytest.approx(len(expected), abs=3)


@pytest.mark.parametrize("codec", ["auto", "jpeg"])
def test_a_stream_goes_on_with_the_labels_of_the_next_version(tmp_path: Path, codec: str) -> None:
    repository = tmp_path / "repository"

    def build(names: tuple[str, ...]) -> None:
        model = tiny_detector(metadata=own_metadata(names))
        file = save_tiny_detector(tmp_path / "tiny.onnx", model)
        build_pipeline(file, repository, BuildSettings("tiny", stream=True))

    # A red square for a minute: of the class 0, whatever that is called.
    picture = coloured_square("red", size=128, left=64, top=64, side=32)
    with av.open(str(tmp_path / "red.mp4"), "w") as container:
        film = container.add_stream("libx264", rate=FPS, options={"tune": "zerolatency"})
        film.width, film.height, film.pix_fmt, film.gop_size = 128, 128, "yuv420p", 15
        for _ in range(60 * FPS):
            container.mux(film.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(film.encode())
    build(("red", "green", "blue"))
    labels = []
    with (
        serving(repository, "--no-supervise") as server,
        Detector(server.url) as detector,
        detector.video_stream(
            str(tmp_path / "red.mp4"), codec=codec, classes=["red", "blue"]
        ) as stream,
    ):
        results = iter(stream)

        def best() -> str:
            found = next(results).detections
            while not len(found):
                found = next(results).detections
            labels.append(found.labels[0])
            return labels[-1]

        assert best() == "red"
        build(("blue", "red", "green"))
        options = ("--repository", str(repository))
        assert main(["load", "tiny", *options, "--url", server.url]) == 0
        while best() != "blue":
            continue
    assert labels == sorted(labels, reverse=True)
    assert set(labels) == {"red", "blue"}
