"""Cameras and the real server: what is found in their frames, and how a bad line is got over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

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

SIDE = 256
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


def scene(codec: Codec, *, gop: int = 15, side: int = SIDE) -> list[bytes]:
    """A red square that one anchor of the detector fits, and grey that runs below it."""
    pictures = []
    for number in range(60):
        picture = coloured_square(
            "red", size=side, left=side // 4, top=3 * side // 8, side=side // 8
        )
        picture[-side // 16 :, : 1 + number * side // 60] = 90
        pictures.append(picture)
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
    units = scene(codec)
    with (
        closing(Camera(units[7:] + units[:7], codec=codec)) as camera,
        Detector(server.url, "tiny") as detector,
        detector.video_stream(camera.url, rtsp_transport=transport, detect_fps=10) as stream,
    ):
        results = taken(stream, 90)
        assert stream.plan.passing
        statistics = stream.statistics()
    assert all(reds(result) == {"red"} for result in results[10:])
    # Ten looks a second at 30 frames, fewer where the network had no room; the tracker answers for
    # the others, and it is the same object in all of them.
    assert 10 <= sum(result.looked_at for result in results) <= 45
    assert statistics.looked_at < statistics.frames / 2
    assert {tuple(result.detections.track_ids.tolist()) for result in results[10:]} == {(1,)}  # type: ignore[union-attr]


def test_where_nobody_tracks_frames_without_a_look_say_so(server: Serving) -> None:
    with (
        closing(Camera(scene(Codec.H264))) as camera,
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
        closing(Camera(scene(Codec.H264))) as camera,
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
    # It looks at two at a time on two cores, each for a tenth of a second.
    assert 10 <= sum(result.looked_at for result in results) <= 120
    assert len(said) == 1, said


@pytest.mark.parametrize("codec", CODECS)
def test_lost_packets_cost_frames_until_the_next_key_frame(server: Serving, codec: Codec) -> None:
    # A run of a few packets now and then, as a bad radio link loses them.
    network = Network(loses=lambda sequence: sequence % 97 in (40, 41, 42))
    with (
        closing(Camera(scene(codec), codec=codec, network=network)) as camera,
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
    first = Camera(scene(Codec.H264))
    with Detector(server.url, "tiny") as detector:
        try:
            stream = detector.video_stream(first.url, detect_fps="all")
            before = taken(stream, 10)
        finally:
            first.close()
        second = Camera(scene(Codec.H265, side=512), first.port, codec=Codec.H265)
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
    h264, h265 = scene(Codec.H264), scene(Codec.H265)
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
