"""Cameras as they are: over TCP and UDP, H.264 and H.265, joined in the middle, slow, restarted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.thin_client.streaming.rtsp import SETS_OF, Camera, Network, kind, nal_units
from tests.thin_client.streaming.server import streaming_server
from tests.thin_client.streaming.videos import annex_b, write_video
from thin_client import Detector, VideoStream
from thin_client.contract import Codec
from thin_client.streaming.units import is_key

KEY_EVERY = 15
ENCODERS = {
    Codec.H264: ("libx264", "mp4", "h264_mp4toannexb"),
    Codec.H265: ("libx265", "mkv", "hevc_mp4toannexb"),
}


@pytest.fixture(scope="module")
def units_of(tmp_path_factory: pytest.TempPathFactory) -> dict[Codec, list[bytes]]:
    folder = tmp_path_factory.mktemp("cameras")
    return {
        codec: annex_b(
            write_video(folder / f"camera.{suffix}", encoder, key_every=KEY_EVERY), to_annex_b
        )
        for codec, (encoder, suffix, to_annex_b) in ENCODERS.items()
    }


@pytest.fixture
def server() -> Iterator[SimpleNamespace]:
    with streaming_server() as running:
        yield running


def pictures(data: bytes, codec: Codec) -> list[bytes]:
    """The NAL units that are slices of pictures."""
    slices = (1, 5) if codec is Codec.H264 else tuple(range(32))
    return [nal for nal in nal_units(data) if kind(nal, codec) in slices]


def times_us(stream: VideoStream, count: int) -> list[int]:
    return [result.timestamp_us for _, result in zip(range(count), stream, strict=False)]


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("codec", ENCODERS)
def test_packets_pass_as_they_are_whatever_the_transport(
    server: SimpleNamespace, units_of: dict[Codec, list[bytes]], codec: Codec, transport: str
) -> None:
    units = units_of[codec]
    # In the middle of a group: a camera waits for nobody.
    with (
        closing(Camera(units[7:] + units[:7], codec=codec)) as camera,
        Detector(server.url) as detector,
        detector.video_stream(camera.url, rtsp_transport=transport) as stream,
    ):
        assert stream.plan.passing
        assert stream.plan.codec is codec
        times = times_us(stream, 50)
        assert camera.used == [transport.upper()]
        # What came before the first key frame was never to be had.
        assert stream.statistics().dropped == 0
        sent = [packet.data for packet in server.fake.packets if packet.data]
    known = [pictures(unit, codec) for unit in units]
    assert all(pictures(data, codec) in known for data in sent)
    assert is_key(sent[0], codec)
    for data in sent:
        kinds = [kind(nal, codec) for nal in nal_units(data)]
        # Only the answer to DESCRIBE had them.
        assert all(each in kinds for each in SETS_OF[codec]) == is_key(data, codec)
    assert {round((later - at) / 1000) for at, later in pairwise(times)} <= {33, 34}


def test_a_camera_that_has_only_udp_is_watched_over_udp(
    server: SimpleNamespace, units_of: dict[Codec, list[bytes]]
) -> None:
    with (
        closing(Camera(units_of[Codec.H264], transports=["UDP"])) as camera,
        Detector(server.url) as detector,
        detector.video_stream(camera.url) as stream,
    ):
        assert len(times_us(stream, 20)) == 20
        assert camera.used == ["UDP"]


def test_packets_that_overtake_each_other_are_put_in_order(
    server: SimpleNamespace, units_of: dict[Codec, list[bytes]]
) -> None:
    network = Network(swaps=lambda sequence: sequence % 5 == 3)
    units = units_of[Codec.H264]
    with (
        closing(Camera(units, network=network)) as camera,
        Detector(server.url) as detector,
        detector.video_stream(camera.url, rtsp_transport="udp") as stream,
    ):
        times = times_us(stream, 40)
        sent = [packet.data for packet in server.fake.packets if packet.data]
    known = [pictures(unit, Codec.H264) for unit in units]
    assert all(pictures(data, Codec.H264) in known for data in sent)
    assert {round((later - at) / 1000) for at, later in pairwise(times)} <= {33, 34}


def test_times_are_the_cameras_however_unevenly_its_packets_come(
    server: SimpleNamespace, units_of: dict[Codec, list[bytes]]
) -> None:
    network = Network(delay_s=lambda number: 0.15 if number % 4 else 0.0)
    with (
        closing(Camera(units_of[Codec.H264], network=network)) as camera,
        Detector(server.url) as detector,
        detector.video_stream(camera.url) as stream,
    ):
        times = times_us(stream, 45)
        assert stream.statistics().dropped == 0
    assert {round((later - at) / 1000) for at, later in pairwise(times)} <= {33, 34}


def test_a_pause_is_no_end_and_the_camera_is_asked_for_nothing(
    server: SimpleNamespace, units_of: dict[Codec, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thin_client.streaming.stream.SILENT_S", 0.3)
    said: list[str] = []
    with (
        closing(Camera(units_of[Codec.H264])) as camera,
        Detector(server.url) as detector,
        detector.video_stream(camera.url, say=said.append) as stream,
    ):
        assert len(times_us(stream, 20)) == 20
        camera.pause()
        until = time.monotonic() + 30
        while stream.state[0] != "stalled":
            assert time.monotonic() < until
            time.sleep(0.05)
        assert "nothing has come" in stream.state[1]
        camera.resume()
        assert len(times_us(stream, 40)) == 40
        assert stream.state == ("streaming", "")
        assert len(camera.used) == 1
    assert len(said) == 1, said


def test_a_camera_that_comes_back_with_another_size_is_followed(
    server: SimpleNamespace,
    units_of: dict[Codec, list[bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.thin_client.streaming.videos.WIDTH", 640)
    larger = annex_b(write_video(tmp_path / "larger.mp4", key_every=KEY_EVERY), "h264_mp4toannexb")
    monkeypatch.setattr("thin_client.streaming.reading._FIRST_PAUSE_S", 0.05)
    first = Camera(units_of[Codec.H264])
    with Detector(server.url) as detector:
        try:
            stream = detector.video_stream(first.url)
            before = times_us(stream, 20)
            assert stream.plan.width == 320
        finally:
            first.close()
        second = Camera(larger, first.port)
        try:
            after: list[int] = []
            while stream.plan.width == 320 or len(after) < 20:
                after.append(next(iter(stream)).timestamp_us)
            assert stream.plan.passing
            assert (stream.plan.width, stream.plan.height) == (640, 192)
            stream.close()
        finally:
            second.close()
    assert [*before, *after] == sorted({*before, *after})
    known = [pictures(unit, Codec.H264) for unit in larger]
    late = [packet for packet in server.fake.packets if pictures(packet.data, Codec.H264) in known]
    assert is_key(late[0].data, Codec.H264)
    # Its own parameter sets, and not those of the camera that was there before.
    (own,) = [nal for nal in nal_units(larger[0]) if kind(nal) == 7]
    assert own in nal_units(late[0].data)
