"""Streams of H.264 that do not say how many pictures a decoder has to hold back."""

from __future__ import annotations

import functools

import pytest
from contract import Codec, ImageStatus

from bits import BitReader, without_emulation_prevention
from nal_units import Kind, nal_units
from reorder import Reordering
from tests import videos
from tests.bit_writer import BitWriter, nal_unit
from tests.conftest import ROOT
from tests.decoding import HELD_BACK, MOST_PIXELS, Planes, answered, by_ffmpeg, wrong
from tests.h264_writer import Writer

OK = ImageStatus.OK
X264, PLAIN = "x264-params", "scenecut=0:b-adapt=0:"
WAYS: dict[str, tuple[int, int, str]] = {
    # Length of a group, B-frames, and how they refer to each other.
    "none": (15, 0, ""),
    "one": (15, 1, PLAIN + "b-pyramid=none"),
    "three": (15, 3, PLAIN + "b-pyramid=none"),
    "pyramid of two": (15, 2, PLAIN + "b-pyramid=normal"),
    "pyramid of three": (15, 3, PLAIN + "b-pyramid=normal"),
    "pyramid of eight": (30, 8, PLAIN + "b-pyramid=strict"),
    "open groups": (12, 3, PLAIN + "b-pyramid=normal:open-gop=1"),
    "mbaff": (15, 3, PLAIN + "b-pyramid=normal:interlaced=1"),
    "adaptive": (25, 5, "b-adapt=2"),
    "key frames alone": (1, 0, ""),
}


def unsaid(packet: bytes) -> bytes:
    """The same access unit, of which the sequence set says nothing of its use."""
    found = b""
    for unit in nal_units(packet, Codec.H264, MOST_PIXELS):
        if unit.kind is not Kind.SEQUENCE_SET:
            found += b"\0\0\0\1" + unit.data
            continue
        payload = without_emulation_prevention(unit.data[1:])
        reader = BitReader(payload)
        profile = reader.bits(8)
        reader.skip(16)
        reader.unsigned()
        if profile >= 100:
            numbers = [reader.unsigned() for _ in range(3)]
            assert numbers[0] == 1
            assert reader.bits(2) == 0
        reader.unsigned()
        if reader.unsigned() == 0:
            reader.unsigned()
        reader.unsigned()
        reader.skip(1)
        reader.unsigned()
        reader.unsigned()
        if not reader.flag():
            reader.skip(1)
        reader.skip(1)
        if reader.flag():
            for _ in range(4):
                reader.unsigned()
        writer, kept = BitWriter(), BitReader(payload)
        for _ in range(8 * len(payload) - reader._left):
            writer.bits(1, kept.bits(1))
        assert reader.flag(), "it says nothing as it is"
        found += nal_unit(unit.data[:1], writer.bits(1, 0).data())
    return found


@functools.cache
def encoded(way: str) -> tuple[list[bytes], dict[int, Planes]]:
    """A stream that says it, and its frames."""
    gop, b_frames, parameters = WAYS[way]
    pictures = videos.pan(ROOT / "samples" / "yard.jpg", 45, width=160, height=128)
    options = {"preset": "medium"} if b_frames else {}
    packets = videos.encoded(
        "h264", pictures, gop=gop, b_frames=b_frames, **options, **{X264: parameters}
    )
    return packets, by_ffmpeg("h264", packets)


@pytest.mark.parametrize("way", WAYS)
def test_every_frame_comes_in_order_and_no_later_than_where_the_stream_says(way: str) -> None:
    packets, frames = encoded(way)
    found = answered("h264", [unsaid(packet) for packet in packets])
    assert list(found.frames) == list(frames)
    assert wrong(found.frames, frames) == []
    said = answered("h264", packets)
    assert found.statuses.count(HELD_BACK) <= said.statuses.count(HELD_BACK)


@pytest.mark.parametrize("way", ["open groups", "pyramid of eight"])
def test_a_stream_is_entered_at_any_packet(way: str) -> None:
    packets, frames = encoded(way)
    for first in range(1, 40):
        numbers = list(range(first, 45))
        found = answered("h264", [unsaid(packet) for packet in packets[first:]], numbers)
        assert wrong(found.frames, frames) == []
        said = answered("h264", packets[first:], numbers)
        assert list(found.frames) == list(said.frames)


def test_ffmpeg_alone_would_lose_some() -> None:
    packets, frames = encoded("pyramid of eight")
    assert len(by_ffmpeg("h264", [unsaid(packet) for packet in packets])) < len(frames)


@pytest.mark.parametrize("way", ["three", "pyramid of three", "pyramid of eight"])
def test_pictures_that_nobody_needs_may_be_left_out_by_the_sender(way: str) -> None:
    packets, frames = encoded(way)
    kept = [
        number
        for number, packet in enumerate(packets)
        if any(
            unit.reference
            for unit in nal_units(packet, Codec.H264, MOST_PIXELS)
            if unit.kind in {Kind.SLICE, Kind.KEY_SLICE}
        )
    ]
    assert len(kept) < 35
    found = answered("h264", [unsaid(packets[number]) for number in kept], kept)
    assert list(found.frames) == [number for number in frames if number in kept]
    assert wrong(found.frames, frames) == []
    assert found.held <= 4


def test_pictures_that_come_later_than_one_that_was_shown_are_shown_late() -> None:
    # After the second key picture come some that are shown before it.
    writer = Writer(references=2, reorder=None, order_bits=6)
    packets = [writer.sets() + writer.picture("I", 0, 0, 0, key=True)]
    packets.append(writer.picture("I", 0, 0, 1, key=True))
    for number in range(5):
        order = 2 * number - 10
        packets.append(writer.picture("B", 1, order, 2 + number, reference=False))
    packets.append(writer.picture("P", 1, 2, 9))
    found = answered("h264", packets)
    assert list(found.frames) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert len(by_ffmpeg("h264", packets)) < 8
    # From then on the stream is known: a key picture is held until it is clear what comes first.
    again = [*packets, *packets[1:]]
    found = answered("h264", again, list(range(15)))
    assert list(found.frames)[-7:] == [9, 10, 11, 12, 13, 8, 14]


@pytest.mark.parametrize("step", [1, 2, 4, 10])
def test_pictures_in_order_are_held_for_one_more_at_the_most(step: int) -> None:
    writer = Writer(references=1, reorder=None, order_bits=10)
    packets = [writer.sets() + writer.picture("I", 0, 0, 0, key=True)]
    packets += [writer.picture("P", number, step * number, number) for number in range(1, 30)]
    found = answered("h264", packets)
    assert list(found.frames) == list(range(30))
    assert found.statuses.count(HELD_BACK) == (1 if step > 2 else 0)


def test_no_more_are_held_than_the_level_allows() -> None:
    following = Reordering()
    assert following.decode((1, 0), 4) == 1
    following.shown((1, 0))
    # Each is before the last one, and one is always missing.
    assert [following.decode((1, 100 - 10 * place), 4) for place in range(5)] == [0, 0, 0, 0, 1]


def test_pictures_that_are_never_shown_are_not_asked_for_for_ever() -> None:
    following = Reordering()
    asked = [following.decode((1, 2 * place), 4) for place in range(200)]
    assert max(asked) == 6
    following.shown((1, 398))
    assert following.decode((1, 400), 4) == 1


def fields(reorder: int | None) -> list[bytes]:
    """Frames in two packets each, in groups of five that are shown in another order."""
    writer = Writer(references=2, fields=True, reorder=reorder)
    packets = []
    for group in range(3):
        for place, order in enumerate((0, 8, 4, 12, 10)):
            colour = 2 * (5 * group + place)
            key = place == 0
            first = writer.picture("I" if key else "P", place, order, colour, key=key, bottom=False)
            packets.append(writer.sets() + first if key else first)
            packets.append(writer.picture("P", place, order + 1, colour + 1, bottom=True))
    return packets


def test_frames_in_fields_are_held_and_shown_in_order_too() -> None:
    frames = by_ffmpeg("h264", fields(reorder=2))
    found = answered("h264", fields(reorder=None))
    assert [number % 10 for number in frames] == [0, 4, 2, 8, 6] * 3
    assert list(found.frames) == list(frames)
    assert wrong(found.frames, frames) == []
