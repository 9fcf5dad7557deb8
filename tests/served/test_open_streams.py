"""Which streams are open, what they may take, and when they are closed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from contract import Codec, ImageStatus

from decode import DecodeLimits
from frames import FrameFormat
from open_streams import OpenStreams, StreamLimits
from refusals import RefusedPacketError, StreamId
from tests import videos
from tests.conftest import ROOT

WANTED = FrameFormat(64, 64, DecodeLimits(2**20, 640 * 480))
MIB = 2**20


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def streams(clock: Clock) -> Iterator[OpenStreams]:
    # The thread looks every five seconds; the tests look themselves.
    limits = StreamLimits(streams=3, memory_bytes=5 * MIB, idle_s=60)
    streams = OpenStreams(limits, WANTED, lambda _: None, clock)
    yield streams
    streams.end()


@pytest.fixture(scope="module")
def packets() -> list[bytes]:
    pictures = videos.pan(ROOT / "samples" / "yard.jpg", 2)
    return videos.encoded("h264", pictures)


def push(streams: OpenStreams, name: StreamId, packet: bytes) -> ImageStatus:
    with streams.using(name) as stream:
        return stream.push(packet, -1).status


def test_streams_are_opened_up_to_the_limit(streams: OpenStreams) -> None:
    for name in (1, "1", 2):
        streams.open(name, Codec.MJPEG)
    with pytest.raises(RefusedPacketError, match="--max-streams") as refusal:
        streams.open(3, Codec.MJPEG)
    assert refusal.value.elsewhere
    streams.open("1", Codec.H264)
    assert len(streams) == 3
    assert streams.close(2)
    assert not streams.close(2)
    streams.open(3, Codec.MJPEG)


def test_a_stream_that_is_not_open_is_refused(streams: OpenStreams) -> None:
    with (
        pytest.raises(RefusedPacketError, match=r"not open.* after 60 s") as refusal,
        streams.using(1),
    ):
        pass
    assert not refusal.value.elsewhere


def test_a_stream_that_begins_anew_forgets_what_was(
    streams: OpenStreams, packets: list[bytes]
) -> None:
    streams.open(1, Codec.H264)
    assert push(streams, 1, packets[0]) is ImageStatus.OK
    streams.open(1, Codec.H264)
    assert push(streams, 1, packets[1]) is ImageStatus.WAITING_FOR_KEY_FRAME


def test_memory_is_shared_and_comes_back(streams: OpenStreams, packets: list[bytes]) -> None:
    # A decoder of these may take 2 MiB or a little less.
    large = videos.encoded(
        "h264", videos.pan(ROOT / "samples" / "yard.jpg", 1, width=640, height=480)
    )
    for name in (1, 2):
        streams.open(name, Codec.H264)
    assert push(streams, 1, large[0]) is ImageStatus.OK
    with pytest.raises(RefusedPacketError, match=r"MiB where \d are left") as refusal:
        push(streams, 2, large[0])
    assert refusal.value.elsewhere
    # Smaller frames have room, and so have these once the others are gone.
    assert push(streams, 2, packets[0]) is ImageStatus.OK
    streams.close(1)
    assert push(streams, 2, large[0]) is ImageStatus.OK


def test_only_silent_streams_are_closed(streams: OpenStreams, clock: Clock) -> None:
    streams.open(1, Codec.MJPEG)
    clock.now += 40
    streams.open(2, Codec.MJPEG)
    clock.now += 20.5
    # A second later than Triton, which has forgotten the stream by then.
    assert streams.close_idle() == 0
    clock.now += 1
    assert streams.close_idle() == 1
    with pytest.raises(RefusedPacketError), streams.using(1):
        pass
    with streams.using(2):
        clock.now += 1000
        # It is at work.
        assert streams.close_idle() == 0
    assert streams.close_idle() == 0
    clock.now += 62
    assert streams.close_idle() == 1
    assert len(streams) == 0


def test_frames_are_counted_from_the_start_of_the_stream(streams: OpenStreams) -> None:
    pictures = videos.pan(ROOT / "samples" / "yard.jpg", 3)
    files = videos.encoded("mjpeg", pictures)
    streams.open(1, Codec.MJPEG)
    with streams.using(1) as stream:
        answers = [stream.push(file, 7) for file in (files[0], b"\xff\xd8", files[1])]
    assert [answer.index for answer in answers] == [0, -1, 1]
    assert [answer.timestamp for answer in answers] == [7, -1, 7]
    assert answers[1].status is ImageStatus.CORRUPT_PACKET
    assert [(answer.frame == 114).all() for answer in answers] == [False, True, False]


def test_a_jpeg_over_the_limit_is_refused(streams: OpenStreams) -> None:
    (large,) = videos.encoded(
        "mjpeg", videos.pan(ROOT / "samples" / "warehouse.jpg", 1, width=642, height=480)
    )
    streams.open(1, Codec.MJPEG)
    with pytest.raises(RefusedPacketError, match="at most 307200 pixels"):
        push(streams, 1, large)
