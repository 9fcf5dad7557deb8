"""``framewire-client stream`` and VideoStream against the real server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from builder.cli import main
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from tests.conftest import ROOT
from tests.h264_pcm import Coded, access_units
from tests.serving import Serving, serving
from tests.thin_client.streaming.videos import (
    FPS,
    HEIGHT,
    WIDTH,
    display_matrix,
    shown_by_a_player,
    write_video,
)
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
    return client(server, "stream", video, *options)


def client(
    server: Serving, command: str, video: Path, *options: str
) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "thin_client.cli", command, str(video)]
    return subprocess.run(
        [*program, "--url", server.url, "--model", "tiny", *options],
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
        ("b_frames.mkv", "libx264", 2),
        ("b_frames.ts", "libx264", 2),
        ("without_shown_times.avi", "libx264", 2),
        ("without_times.h264", "libx264", 2),
        ("without_times.h265", "libx265", 2),
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
    assert last["statistics"]["sent"] == 70
    assert last["statistics"]["dropped"] == 0
    assert last["statistics"]["thinned_out"] == 0


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
    assert re.search(
        r"\d+ frames  answered [\d.]+/s, looked at [\d.]+/s, dropped [\d.]+/s"
        r"  latency p50 \d+ p95 \d+ ms  \d+ KB/s",
        done.stdout,
    )


@pytest.mark.parametrize("b_frames", [0, 2])
def test_an_annotated_video_has_every_frame(server: Serving, tmp_path: Path, b_frames: int) -> None:
    video = write_video(tmp_path / "video.mp4", count=40, b_frames=b_frames)
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


def corner_film(path: Path, turned: tuple[int, bool]) -> Path:
    """A film of a red square that is top left when it is shown, stored as a camera held so does."""
    upright = coloured_square("red", size=256, left=64, top=32, side=64)[:192]
    with av.open(str(path), "w") as container:
        track = container.add_stream("libx264", rate=FPS, options={"crf": "8"})
        degrees, mirror = turned
        stored = np.rot90(upright, degrees // 90)
        stored = np.ascontiguousarray(stored[:, ::-1] if mirror else stored)
        track.height, track.width = stored.shape[:2]
        track.pix_fmt = "yuv420p"
        if degrees or mirror:
            track.set_display_matrix(display_matrix(degrees, mirror=mirror))
        for _ in range(6):
            container.mux(track.encode(av.VideoFrame.from_ndarray(stored, format="bgr24")))
        container.mux(track.encode(None))
    return path


TURNS = [(90, False), (180, False), (270, False), (0, True), (90, True), (270, True)]


@pytest.mark.parametrize(
    ("way", "turned"),
    [
        *((way, turned) for way in ("passing", "h265", "jpeg") for turned in TURNS),
        # OpenCV tells of no mirror.
        *(("video", turned) for turned in TURNS[:3]),
    ],
)
def test_what_a_phone_filmed_is_looked_at_as_it_is_shown(
    server: Serving, tmp_path: Path, way: str, turned: tuple[int, bool]
) -> None:
    film = corner_film(tmp_path / "film.mp4", turned)
    out = tmp_path / "out.mp4"
    options = {"passing": (), "h265": ("--codec", "h265"), "jpeg": ("--codec", "jpeg")}
    command = "video" if way == "video" else "stream"
    every = () if way == "video" else ("--every-frame",)
    done = client(
        server,
        command,
        film,
        "--json",
        "--conf",
        "0.5",
        "--out",
        str(out),
        *every,
        *options.get(way, ()),
    )
    assert done.returncode == 0, done.stderr
    frames = [json.loads(line) for line in done.stdout.splitlines() if "statistics" not in line]
    assert len(frames) == 6
    for frame in frames:
        assert (frame["width"], frame["height"]) == (256, 192)
        assert {found["label"] for found in frame["detections"]} == {"red"}
        # Each cell of the detector that is red has a box of its own.
        edges = np.array([found["box"] for found in frame["detections"]]).T
        assert [edges[0].min(), edges[1].min(), edges[2].max(), edges[3].max()] == [
            *(64, 32, 128, 96)
        ]
    with av.open(str(out)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(pictures) == 6
    for picture in pictures:
        assert picture.shape == (192, 256, 3)
        # Red where it is to be seen, and nowhere in the other corners.
        red = picture[..., 0].astype(int) - picture[..., 1] > 60
        assert red[40:90, 70:120].mean() > 0.8
        assert not red[100:, 140:].any()


def test_pixels_that_are_not_square_are_told_of(server: Serving, tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", count=3, aspect=Fraction(64, 45))
    for command, every in (("stream", ("--every-frame",)), ("video", ())):
        done = client(server, command, video, "--json", *every)
        assert done.returncode == 0, done.stderr
        frames = [json.loads(line) for line in done.stdout.splitlines() if "width" in line]
        assert [frame["sample_aspect_ratio"] for frame in frames] == ["64:45"] * 3
        assert {(frame["width"], frame["height"]) for frame in frames} == {(WIDTH, HEIGHT)}
    square = write_video(tmp_path / "square.mp4", count=3)
    assert "aspect" not in stream(server, square, "--json", "--every-frame").stdout


def test_single_fields_are_frames_together(server: Serving, tmp_path: Path) -> None:
    pictures = [Coded(0, 40, key=True, fields=True)]
    for number in range(1, 40, 2):  # each second one is shown before the one that came first
        pictures += [
            Coded(number + 1, 41, fields=True),
            Coded(number, 42, reference=False, fields=True),
        ]
    video = tmp_path / "fields.h264"
    video.write_bytes(b"".join(access_units(pictures, reorder=1)))
    done = stream(server, video, "--every-frame", "--json")
    assert done.returncode == 0, done.stderr
    *frames, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(frames) == len(pictures) == len(shown_by_a_player(video))
    assert last["statistics"]["sent"] == 2 * len(pictures)
    assert last["statistics"]["dropped"] == 0
    assert [frame["timestamp_us"] for frame in frames] == pytest.approx(
        [40_000 * number for number in range(len(pictures))], abs=1
    )


def test_frames_that_are_lost_all_the_same_are_said_and_the_exit_status_tells(
    server: Serving, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "video.mp4", key_every=20)
    with av.open(str(video)) as container:
        place = [packet.pos for packet in container.demux(video=0) if packet.size]
    data = bytearray(video.read_bytes())
    data[place[25] : place[25] + 4] = b"\xff\xff\xff\xff"
    video.write_bytes(data)
    done = stream(server, video, "--every-frame", "--json")
    assert done.returncode == 1
    assert re.search(
        r"^framewire-client: 15 frames of .* did not come back.*; 45 did$", done.stderr, re.M
    )
    statistics = json.loads(done.stdout.splitlines()[-1])["statistics"]
    assert (statistics["frames"], statistics["dropped"]) == (45, 15)
    assert stream(server, video).returncode == 0  # fresh over complete: nothing was promised


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
