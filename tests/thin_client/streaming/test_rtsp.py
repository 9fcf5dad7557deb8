from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.thin_client.streaming.rtsp import FPS, PARAMETER_SETS, Camera, nal_units
from tests.thin_client.streaming.server import streaming_server
from tests.thin_client.streaming.videos import annex_b, write_video
from thin_client import Detector, SourceUnreadable
from thin_client.contract import Codec
from thin_client.streaming import reading
from thin_client.streaming import stream as stream_module
from thin_client.streaming.units import is_key


@pytest.fixture
def units(tmp_path: Path) -> list[bytes]:
    return annex_b(write_video(tmp_path / "video.mp4", key_every=15), "h264_mp4toannexb")


@pytest.fixture
def camera(units: list[bytes]) -> Iterator[Camera]:
    running = Camera(units)
    yield running
    running.close()


def slices(data: bytes) -> list[bytes]:
    return [nal for nal in nal_units(data) if nal[0] & 31 in (1, 5)]


def test_a_cameras_packets_pass_as_they_are_with_parameter_sets_before_key_frames(
    camera: Camera, units: list[bytes]
) -> None:
    with (
        streaming_server() as server,
        Detector(server.url) as detector,
        detector.video_stream(camera.url) as stream,
    ):
        assert stream.plan.passing
        assert stream.plan.codec is Codec.H264
        results = iter(stream)
        for _ in range(40):
            next(results)
        sent = [packet.data for packet in server.fake.packets if packet.data]
    known = [slices(unit) for unit in units]
    assert all(slices(data) in known for data in sent)
    assert is_key(sent[0], Codec.H264)
    for data in sent:
        kinds = [nal[0] & 31 for nal in nal_units(data)]
        assert all(kind in kinds for kind in PARAMETER_SETS) == (5 in kinds)


@pytest.mark.parametrize("said_fps", [10, None, 60])
@pytest.mark.parametrize("codec", ["auto", "jpeg"])
def test_a_limit_holds_whatever_a_camera_says_of_its_rate(
    units: list[bytes], codec: str, said_fps: int | None
) -> None:
    running = Camera(units, fps=60, said_fps=said_fps)
    with (
        closing(running),
        streaming_server() as server,
        Detector(server.url) as detector,
        detector.video_stream(running.url, fps=30, codec=codec) as stream,
    ):
        assert not stream.plan.passing
        assert stream.plan.fps == 30
        times_us = [result.timestamp_us for result, _ in zip(stream, range(60), strict=False)]
    for first in times_us:
        assert sum(first <= at < first + 1_000_000 for at in times_us) <= 31


@pytest.mark.parametrize(("fps", "said_fps"), [(30, 30), (30, None), (45, 90)])
def test_packets_of_a_camera_that_keeps_the_limit_pass_from_the_first_on(
    units: list[bytes], fps: float, said_fps: int | None
) -> None:
    running = Camera(units, said_fps=said_fps)
    with (
        closing(running),
        streaming_server() as server,
        Detector(server.url) as detector,
        detector.video_stream(running.url, fps=fps) as stream,
    ):
        assert stream.plan.passing
        times_us = [result.timestamp_us for result, _ in zip(stream, range(45), strict=False)]
        sent = [packet.data for packet in server.fake.packets if packet.data]
    known = [slices(unit) for unit in units]
    assert all(slices(data) in known for data in sent)
    # What was read to measure the rate is given too: a key frame comes every half a second.
    assert times_us[0] < 900_000
    steps = {round((later - at) / 1000) for at, later in pairwise(times_us)}
    assert steps <= {33, 34}


def test_a_camera_that_hung_up_is_opened_again(camera: Camera) -> None:
    said: list[str] = []
    with (
        streaming_server() as server,
        Detector(server.url) as detector,
        detector.video_stream(camera.url, say=said.append) as stream,
    ):
        results = iter(stream)
        for _ in range(10):
            next(results)
        camera.hang_up()
        before = len(server.fake.packets)
        while not any("opening it again" in sentence for sentence in said):
            next(results)
        for _ in range(20):
            assert next(results).detections.ok
        later = [packet for packet in server.fake.packets[before:] if packet.data]
    assert not any(packet.status for packet in later)


def test_every_frame_cannot_be_had_of_a_camera(camera: Camera) -> None:
    with (
        streaming_server() as server,
        Detector(server.url) as detector,
        pytest.raises(SourceUnreadable, match="is live"),
    ):
        detector.video_stream(camera.url, every_frame=True)


def test_a_camera_that_is_away_for_a_while_is_opened_again_and_time_has_gone_on(
    units: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = threading.Event()
    opened = reading.VideoSource
    failed = 0

    class Counting(opened):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **options: Any) -> None:
            nonlocal failed
            try:
                super().__init__(*args, **options)
            except SourceUnreadable:
                failed += 1
                if failed == 2:
                    attempts.set()
                raise

    monkeypatch.setattr(stream_module, "VideoSource", Counting)
    monkeypatch.setattr(reading, "_FIRST_PAUSE_S", 0.1)
    first = Camera(units)
    with streaming_server() as server, Detector(server.url) as detector:
        try:
            stream = detector.video_stream(first.url)
            results = iter(stream)
            before = [next(results).timestamp_us for _ in range(10)]
        finally:
            first.close()
        assert attempts.wait(20)
        second = Camera(units, first.port)
        try:
            # What was on its way when it went.
            after = [next(results).timestamp_us for _ in range(40)]
            stream.close()
        finally:
            second.close()
    stamps = [*before, *after]
    assert stamps == sorted(set(stamps))
    assert after[-1] - before[-1] > 40 * 1_000_000 / FPS


@pytest.mark.parametrize(
    "options",
    [
        {"b_frames": 2, "x264-params": "open-gop=1:b-pyramid=normal"},
        {"x264-params": "intra-refresh=1"},
    ],
    ids=["open groups", "refreshed in strips"],
)
def test_a_camera_without_idr_pictures_is_begun_at_a_recovery_point(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    video = write_video(tmp_path / "video.mp4", key_every=15, preset="veryfast", **options)
    whole = annex_b(video, "h264_mp4toannexb")
    # As of somebody who came later: the only IDR picture is past.
    camera = Camera(whole[15:], sets_of=whole)
    try:
        with (
            streaming_server() as server,
            Detector(server.url) as detector,
            detector.video_stream(camera.url) as stream,
        ):
            assert stream.plan.passing
            results = iter(stream)
            for _ in range(20):
                next(results)
            sent = [packet.data for packet in server.fake.packets if packet.data]
    finally:
        camera.close()
    assert is_key(sent[0], Codec.H264)
    kinds = [nal[0] & 31 for nal in nal_units(sent[0])]
    assert all(kind in kinds for kind in PARAMETER_SETS)
    assert 5 not in kinds
