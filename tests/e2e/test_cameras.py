"""Cameras and the real server: what is found in their frames, and how a bad line is got over."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings, Track
from tests import videos
from tests.serving import Serving, serving
from tests.slowed import slow_down
from tests.thin_client.streaming.many.running import client
from tests.thin_client.streaming.rtsp import Camera, Network
from tests.tiny_detector import coloured_square, save_tiny_detector
from thin_client import Detector, StreamResult, VideoStream
from thin_client.contract import Codec, ImageStatus
from thin_client.drawing import color_bgr

SIDE, SQUARE = 256, 64
LOOK_S = 0.1
CODECS = [Codec.H264, Codec.H265]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """``tiny`` tracks who asks, ``none`` nobody; the network of ``slow`` takes its time."""
    folder = tmp_path_factory.mktemp("cameras")
    model, repository = save_tiny_detector(folder / "tiny.onnx"), folder / "repository"
    for name, track in (("tiny", Track.ASKED), ("none", Track.OFF), ("slow", Track.ASKED)):
        build_pipeline(model, repository, BuildSettings(name, conf=0.5, stream=True, track=track))
    slow_down(repository, "slow", LOOK_S)
    with serving(repository, "--no-supervise") as running:
        yield running


def moving_square(codec: Codec, *, gop: int = 15, side: int = SIDE) -> list[bytes]:
    """A red square that goes to the right and back, 60 frames, so that it may be repeated."""
    pictures = []
    for number in range(60):
        way = number if number < 30 else 60 - number
        pictures.append(coloured_square("red", size=side, left=2 * way + 32, top=96, side=SQUARE))
    return videos.encoded(codec.value, pictures, gop=gop)


def taken(stream: VideoStream, count: int) -> list[StreamResult]:
    return [result for _, result in zip(range(count), stream, strict=False)]


def reds(result: StreamResult) -> set[str]:
    return set(result.detections.labels)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("codec", CODECS)
def test_what_a_camera_sees_is_found_and_tracked_joined_in_the_middle(
    server: Serving, codec: Codec, transport: str
) -> None:
    units = moving_square(codec)
    with (
        closing(Camera(units[7:] + units[:7], codec=codec)) as camera,
        Detector(server.url, "tiny") as detector,
        detector.video_stream(camera.url, rtsp_transport=transport, detect_fps=10) as stream,
    ):
        results = taken(stream, 90)
        assert stream.plan.passing
        statistics = stream.statistics()
    assert all(reds(result) == {"red"} for result in results[10:])
    # Ten looks a second at 30 frames: every third is looked at, and all have their tracks.
    looks = [number for number, result in enumerate(results) if result.looked_at]
    assert set(np.diff(looks)) <= {2, 3, 4}
    assert statistics.looked_at < statistics.frames / 2
    ids = [set(result.detections.track_ids.tolist()) - {0} for result in results[10:]]  # type: ignore[union-attr]
    assert set.intersection(*ids), "the same object in every frame"


def test_where_nobody_tracks_frames_without_a_look_say_so(server: Serving) -> None:
    with (
        closing(Camera(moving_square(Codec.H264))) as camera,
        Detector(server.url, "none") as detector,
        detector.video_stream(camera.url, detect_fps=5) as stream,
    ):
        results = taken(stream, 60)
    for result in results:
        seen = ImageStatus.OK if result.looked_at else ImageStatus.NOT_LOOKED_AT
        assert result.detections.status is seen
        assert result.detections.track_ids is None
    assert 5 < sum(result.looked_at for result in results) < 30


def test_a_network_that_is_slower_than_the_camera_costs_looks_and_no_frames(
    server: Serving,
) -> None:
    said: list[str] = []
    with (
        closing(Camera(moving_square(Codec.H264))) as camera,
        Detector(server.url, "slow") as detector,
        detector.video_stream(camera.url, say=said.append) as stream,
    ):
        taken(stream, 5)
        before = stream.statistics()
        results = taken(stream, 150)
        after = stream.statistics()
        assert stream.plan.passing
    assert after.dropped == before.dropped
    times = [result.timestamp_us for result in results]
    assert {round(step / 1000) for step in np.diff(times)} <= {33, 34}
    # It can look at fewer than ten a second.
    assert 10 <= sum(result.looked_at for result in results) <= 60
    assert len(said) == 1, said


@pytest.mark.parametrize("codec", CODECS)
def test_lost_packets_cost_frames_until_the_next_key_frame(server: Serving, codec: Codec) -> None:
    # A run of a few packets now and then, as a bad radio link loses them.
    network = Network(loses=lambda sequence: sequence % 97 in (40, 41, 42))
    with (
        closing(Camera(moving_square(codec), codec=codec, network=network)) as camera,
        Detector(server.url, "tiny") as detector,
        detector.video_stream(camera.url, rtsp_transport="udp", detect_fps="all") as stream,
    ):
        results = taken(stream, 120)
        statistics = stream.statistics()
        assert stream.plan.passing
    times = [result.timestamp_us for result in results]
    assert times == sorted(set(times))
    # Some were lost, no stream ended, and what is shown is what the camera saw.
    assert max(np.diff(times)) > 50_000 or statistics.dropped
    assert all(reds(result) <= {"red"} for result in results)
    assert sum(reds(result) == {"red"} for result in results) > 100


def test_a_camera_that_restarts_with_another_size_is_found_in_its_new_pixels(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thin_client.streaming.reading._FIRST_PAUSE_S", 0.05)
    first = Camera(moving_square(Codec.H264))
    with Detector(server.url, "tiny") as detector:
        try:
            stream = detector.video_stream(first.url, detect_fps="all")
            before = taken(stream, 10)
        finally:
            first.close()
        second = Camera(moving_square(Codec.H265, side=512), first.port, codec=Codec.H265)
        try:
            after: list[StreamResult] = []
            while not after or after[-1].detections.width != 512:
                after += taken(stream, 1)
            after += taken(stream, 20)
            stream.close()
        finally:
            second.close()
    assert {result.detections.width for result in before} == {256}
    assert {result.detections.width for result in after[-20:]} == {512}
    assert all(reds(result) == {"red"} for result in after[-20:])


def test_many_cameras_go_through_one_client(server: Serving) -> None:
    h264, h265 = moving_square(Codec.H264), moving_square(Codec.H265)
    with (
        closing(Camera(h264)) as one,
        closing(Camera(h265, codec=Codec.H265)) as two,
        closing(Camera(h264)) as three,
        client(
            server.url,
            "--model",
            "slow",
            *(f"{name}={camera.url}" for name, camera in (("1", one), ("2", two), ("3", three))),
            "--frames",
            "90",
        ) as running,
    ):
        assert running.end() == 0, running.errors
    for name in "123":
        lines = [
            line for line in running.lines if line["source"] == name and "timestamp_us" in line
        ]
        assert len(lines) == 90
        # Fairly among all streams, and the tracker answers for the others.
        assert 3 <= sum(line["looked_at"] for line in lines) <= 60
        found = [line["detections"] for line in lines[30:]]
        assert all(each and "track_id" in each[0] for each in found)


def test_an_annotated_video_has_the_trails_of_what_it_shows(
    server: Serving, tmp_path: Path
) -> None:
    film = tmp_path / "film.mp4"
    with av.open(str(film), "w") as container:
        track = container.add_stream("libx264", rate=30, options={"crf": "8"})
        track.width = track.height = SIDE
        track.pix_fmt = "yuv420p"
        for number in range(45):
            picture = coloured_square("red", size=SIDE, left=2 * number + 32, top=96, side=SQUARE)
            container.mux(track.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(track.encode(None))
    last = {}
    for options in ((), ("--trails",)):
        out = tmp_path / f"out{len(options)}.avi"
        program = [sys.executable, "-m", "thin_client.cli", "stream", str(film)]
        asked = ("--every-frame", "--json", "--detect-fps", "10", "--min-hits", "1")
        done = subprocess.run(
            [*program, "--url", server.url, "--model", "tiny", *asked, "--out", str(out), *options],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        last[options] = list(read_back(out))[-1]
    ids = {each["track_id"] for line in lines[20:-1] for each in line["detections"]}
    differs = np.abs(last[()].astype(int) - last[("--trails",)]).max(axis=2) > 60
    assert differs.any()
    # What differs has the colour of a track, and lies behind the square, which goes to the right.
    drawn = last[("--trails",)][differs].mean(axis=0)
    nearest = min(np.abs(drawn - np.array(color_bgr(track_id))).max() for track_id in ids)
    assert nearest < 60
    left_edge = 2 * 44 + 32
    assert np.nonzero(differs)[1].min() < left_edge


def read_back(path: Path) -> Iterator[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    while True:
        read, picture = capture.read()
        if not read:
            return
        yield picture
