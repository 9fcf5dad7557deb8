"""Where streams of H.265 begin, end and are joined, and which leading pictures are shown."""

from __future__ import annotations

import functools

import cv2
import numpy as np
import pytest
from contract import Codec, ImageStatus

from nal_units import SLICES, Kind, annex_b, nal_units
from recovery_points import recovery_unit
from tests import videos
from tests.bit_writer import BitWriter, nal_unit
from tests.conftest import ROOT
from tests.decoding import HELD_BACK, MOST_PIXELS, WAITING, Planes, answered, by_ffmpeg, wrong

OK = ImageStatus.OK
PHOTOGRAPHS = [ROOT / "samples" / name for name in ("warehouse.jpg", "yard.jpg")]
COUNT, WIDTH, HEIGHT = 40, 160, 128
X265 = "x265-params"
# nal_unit_type.
RASL = frozenset({8, 9})
BROKEN_LINK, IDR, CRA, END_OF_SEQUENCE, SUPPLEMENT = 16, 20, 21, 36, 39
END = bytes([0, 0, 0, 1, END_OF_SEQUENCE << 1, 1])


@functools.cache
def open_groups(photograph: int = 0) -> list[bytes]:
    """Groups of twelve pictures; the leading ones of each refer to the group before."""
    pictures = videos.pan(PHOTOGRAPHS[photograph], COUNT, width=WIDTH, height=HEIGHT)
    options = {X265: "open-gop=1:scenecut=0:b-adapt=0"}
    return videos.encoded("h265", pictures, gop=12, b_frames=3, **options)


def types(packets: list[bytes]) -> list[int]:
    """nal_unit_type of each picture."""
    return [
        next(unit.type for unit in nal_units(each, Codec.H265, MOST_PIXELS) if unit.kind in SLICES)
        for each in packets
    ]


def retyped(packet: bytes, kind: int) -> bytes:
    """The same picture under another nal_unit_type."""
    units = nal_units(packet, Codec.H265, MOST_PIXELS)
    return b"".join(
        b"\0\0\0\1" + (bytes([kind << 1]) + unit.data[1:] if unit.kind in SLICES else unit.data)
        for unit in units
    )


def recovery_point(count: int) -> bytes:
    message = BitWriter().signed(count).bits(1, 1).bits(1, 0).data()
    return nal_unit(bytes([SUPPLEMENT << 1, 1]), bytes([6, len(message)]) + message + b"\x80")


def test_leading_pictures_whose_references_never_came_are_not_waited_for() -> None:
    packets = open_groups()
    kinds, frames = types(packets), by_ffmpeg("h265", packets)
    first = kinds.index(CRA)
    leading = {number for number in range(first, first + 4) if kinds[number] in RASL}
    assert len(leading) == 3
    found = answered("h265", packets[first:], list(range(first, COUNT)))
    assert wrong(found.frames, frames) == []
    assert set(found.frames) == set(range(first, COUNT)) - leading
    # The first picture is held back by the three: they themselves are not.
    assert found.statuses.count(HELD_BACK) == found.held
    assert found.statuses[1:4].count(WAITING) >= 2


@pytest.mark.parametrize("joint", ["broken link", "end in the packet", "end of its own"])
def test_leading_pictures_are_not_made_of_another_streams_pictures(joint: str) -> None:
    one, other = open_groups()[:20], open_groups(photograph=1)
    second = [at for at, kind in enumerate(types(other)) if kind == CRA][1]
    rest = other[second:]
    if joint == "broken link":
        rest = [retyped(rest[0], BROKEN_LINK), *rest[1:]]
    elif joint == "end in the packet":
        one = [*one[:-1], one[-1] + END]
    else:
        one = [*one, END]
    found = answered("h265", one + rest)
    frames: dict[int, Planes] = by_ffmpeg("h265", open_groups())
    frames |= {
        len(one) + number - second: planes
        for number, planes in by_ffmpeg("h265", other).items()
        if number >= second
    }
    assert wrong(found.frames, frames) == []
    leading = {len(one) + at for at, kind in enumerate(types(rest)) if kind in RASL and at < 4}
    assert len(leading) == 3
    assert set(range(len(one), len(one) + len(rest))) - leading <= set(found.frames)
    assert leading.isdisjoint(found.frames)


@pytest.mark.parametrize("lost", range(1, 20))
def test_a_lost_key_picture_is_noticed_where_places_begin_anew(lost: int) -> None:
    # What was lost before it left old pictures behind, of which new ones seem to be made.
    options = {X265: "open-gop=0:scenecut=0:b-adapt=0"}
    pictures = videos.pan(PHOTOGRAPHS[0], COUNT, width=WIDTH, height=HEIGHT)
    packets = videos.encoded("h265", pictures, gop=20, b_frames=3, **options)
    assert types(packets).index(IDR, 1) == 20
    for more in range(20, 24):
        numbers = [number for number in range(COUNT) if number != lost and not 20 <= number <= more]
        found = answered("h265", [packets[number] for number in numbers], numbers)
        assert wrong(found.frames, by_ffmpeg("h265", packets)) == []


def refreshed() -> list[bytes]:
    """Pictures that x265 refreshes in columns, exactly, with the recovery points it leaves out."""
    photograph = cv2.imread(str(PHOTOGRAPHS[0]))
    assert photograph is not None
    pictures = [
        np.ascontiguousarray(photograph[2 * number :][:HEIGHT, 300 : 300 + WIDTH])
        for number in range(COUNT)
    ]
    options = "intra-refresh=1:scenecut=0:deblock=0:no-deblock=1:no-sao=1:constrained-intra=1"
    packets = videos.encoded("h265", pictures, gop=10, **{X265: options})
    return [
        recovery_point(9) + packet if number % 10 == 0 and number else packet
        for number, packet in enumerate(packets)
    ]


def test_a_stream_without_key_pictures_is_entered_at_its_recovery_points() -> None:
    packets = refreshed()
    frames = by_ffmpeg("h265", packets)
    for first in (1, 4, 9, 10, 11):
        found = answered("h265", packets[first:], list(range(first, COUNT)))
        begun = -(-first // 10) * 10
        assert wrong(found.frames, frames) == []
        assert list(found.frames) == list(range(begun + 9, COUNT))
        assert found.statuses[: begun + 9 - first] == [WAITING] * (begun + 9 - first)
    # A decoder that began so takes what is missing for what it never had.
    for lost in range(19, 29):
        numbers = [number for number in range(5, COUNT) if number != lost]
        found = answered("h265", [packets[number] for number in numbers], numbers)
        assert wrong(found.frames, frames) == []
        begun = lost // 10 * 10 + 10
        assert list(found.frames) == [*range(19, lost), *range(begun + 9, COUNT)]


def test_a_decoder_that_began_at_a_recovery_point_makes_nothing_up() -> None:
    # It goes on for as long as no other recovery point comes.
    packets = refreshed()
    packets = [*packets[:10], packets[10], *(without_points(each) for each in packets[11:])]
    frames = by_ffmpeg("h265", packets)
    for lost in range(21, 30):
        numbers = [number for number in range(5, COUNT) if number != lost]
        found = answered("h265", [packets[number] for number in numbers], numbers)
        assert wrong(found.frames, frames) == []
        assert list(found.frames) == list(range(19, lost))


def without_points(packet: bytes) -> bytes:
    units = nal_units(packet, Codec.H265, MOST_PIXELS)
    return annex_b(
        unit
        for unit in units
        if unit.kind is not Kind.SUPPLEMENT or recovery_unit(unit, Codec.H265) is None
    )


def test_pictures_that_are_not_to_be_shown_after_a_key_picture_are_not() -> None:
    options = {X265: "open-gop=0:scenecut=0:b-adapt=0"}
    pictures = videos.pan(PHOTOGRAPHS[0], COUNT, width=WIDTH, height=HEIGHT)
    packets = videos.encoded("h265", pictures, gop=12, b_frames=3, **options)
    key = types(packets).index(IDR, 1)
    units = nal_units(packets[key], Codec.H265, MOST_PIXELS)
    packets[key] = annex_b(unit for unit in units if unit.kind not in SLICES)
    for unit in units:
        if unit.kind in SLICES:
            # no_output_of_prior_pics_flag
            changed = bytes([unit.data[2] | 0x40])
            packets[key] += b"\0\0\0\1" + unit.data[:2] + changed + unit.data[3:]
    frames, found = by_ffmpeg("h265", packets), answered("h265", packets)
    assert len(frames) < COUNT
    assert list(found.frames) == list(frames)
    assert wrong(found.frames, frames) == []


def test_frames_change_their_size_and_those_that_are_held_are_not_lost() -> None:
    packets: list[bytes] = []
    for width in (160, 192, 160):
        pictures = videos.pan(PHOTOGRAPHS[0], 9, width=width, height=HEIGHT)
        packets += videos.encoded("h265", pictures, gop=9, b_frames=2)
    frames, found = by_ffmpeg("h265", packets), answered("h265", packets)
    assert sorted(found.frames) == sorted(frames) == list(range(27))
    assert wrong(found.frames, frames) == []


def test_each_field_of_interlaced_video_is_a_frame_of_half_the_height() -> None:
    pictures = videos.pan(PHOTOGRAPHS[0], 8, width=WIDTH, height=HEIGHT)
    packets = videos.encoded("h265", pictures, gop=8, **{X265: "interlace=tff"})
    found = answered("h265", packets)
    assert found.statuses == [OK] * 8
    assert {planes.shape for planes in found.frames.values()} == {(HEIGHT * 3 // 2, WIDTH)}
