from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.thin_client.streaming.rtsp import PARAMETER_SETS, Camera, nal_units
from tests.thin_client.streaming.server import streaming_server
from tests.thin_client.streaming.videos import annex_b, write_video
from thin_client import Detector, SourceUnreadable
from thin_client.contract import Codec
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
