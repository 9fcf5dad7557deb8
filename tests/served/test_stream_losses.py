"""Streams of many kinds that lose packets, against their frames when nothing is lost.

No frame may be shown that was made of what was lost, and none may be withheld that was not: what
comes before a loss, and what is shown after the next point at which decoding can begin.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from contract import Codec, ImageStatus

from nal_units import SLICES, annex_b, nal_units
from tests import videos
from tests.conftest import ROOT
from tests.decoding import CORRUPT, MOST_PIXELS, WAITING, Planes, answered, by_ffmpeg, wrong
from tests.videos import Picture

PHOTOGRAPH = ROOT / "samples" / "warehouse.jpg"
COUNT, WIDTH, HEIGHT = 45, 160, 128
X264, X265 = "x264-params", "x265-params"
PLAIN = "scenecut=0:b-adapt=0"

KINDS: dict[str, tuple[str, int, int, dict[str, str]]] = {
    # Codec, length of a group, B-frames, and what else the encoder is told.
    "h264": ("h264", 13, 0, {}),
    "h264 b-frames": ("h264", 13, 3, {}),
    "h264 pyramid": ("h264", 20, 3, {"preset": "medium", X264: f"b-pyramid=normal:{PLAIN}"}),
    "h264 strict pyramid": ("h264", 20, 3, {X264: f"b-pyramid=strict:{PLAIN}:ref=1"}),
    "h264 open 2": (
        "h264",
        10,
        2,
        {"preset": "medium", X264: f"open-gop=1:b-pyramid=normal:{PLAIN}"},
    ),
    "h264 open 3": ("h264", 13, 3, {X264: f"open-gop=1:b-pyramid=normal:{PLAIN}"}),
    "h264 open 5": (
        "h264",
        12,
        5,
        {"preset": "slow", X264: f"open-gop=1:b-pyramid=normal:{PLAIN}:ref=5"},
    ),
    "h264 references": ("h264", 20, 0, {"preset": "medium", X264: f"ref=5:{PLAIN}"}),
    "h264 mbaff": ("h264", 15, 2, {X264: f"interlaced=1:tff=1:{PLAIN}"}),
    "h264 fake interlaced": ("h264", 15, 2, {X264: f"fake-interlaced=1:{PLAIN}"}),
    "h264 slices": ("h264", 15, 2, {X264: f"slices=4:{PLAIN}"}),
    "h264 hrd": (
        "h264",
        15,
        2,
        {"b": "500k", "maxrate": "500k", "bufsize": "500k", X264: f"nal-hrd=vbr:aud=1:{PLAIN}"},
    ),
    "h264 4:2:2": ("h264", 15, 2, {"pix_fmt": "yuv422p", X264: PLAIN}),
    "h264 4:4:4": ("h264", 15, 2, {"pix_fmt": "yuv444p", X264: PLAIN}),
    "h264 10 bit": ("h264", 15, 2, {"pix_fmt": "yuv420p10le", X264: PLAIN}),
    "h264 lossless": ("h264", 15, 2, {X264: f"qp=0:{PLAIN}"}),
    "h265": ("h265", 15, 0, {}),
    "h265 pyramid": ("h265", 20, 3, {X265: f"{PLAIN}:open-gop=0"}),
    "h265 open 3": ("h265", 12, 3, {X265: f"{PLAIN}:open-gop=1"}),
    "h265 open 5": ("h265", 13, 5, {X265: f"{PLAIN}:open-gop=1:ref=4"}),
    "h265 radl": ("h265", 12, 3, {X265: f"{PLAIN}:open-gop=0:radl=2"}),
    "h265 slices": ("h265", 12, 2, {X265: f"slices=3:{PLAIN}"}),
    "h265 hash": ("h265", 12, 2, {X265: f"hash=1:open-gop=1:{PLAIN}"}),
    "h265 layers": ("h265", 24, 7, {X265: f"temporal-layers=3:{PLAIN}"}),
    "h265 10 bit": ("h265", 15, 2, {"pix_fmt": "yuv420p10le", X265: PLAIN}),
}


class Encoded(NamedTuple):
    codec: str
    packets: list[bytes]
    # In the order in which they are shown.
    frames: dict[int, Planes]
    keys: list[int]

    def shown_from(self, key: int) -> set[int]:
        """The frames from a key frame on, in the order in which they are shown."""
        order = list(self.frames)
        return set(order[order.index(key) :])

    def next_key(self, after: int) -> int | None:
        return next((key for key in self.keys if key > after), None)


@functools.cache
def encoded(kind: str) -> Encoded:
    codec, gop, b_frames, options = KINDS[kind]
    pictures = videos.pan(PHOTOGRAPH, COUNT, width=WIDTH, height=HEIGHT)
    packets = videos.encoded(codec, pictures, gop=gop, b_frames=b_frames, **options)
    frames = by_ffmpeg(codec, packets)
    assert len(frames) == COUNT
    return Encoded(codec, packets, frames, videos.key_packets(codec, packets))


def without(lost: Iterable[int], count: int = COUNT) -> list[int]:
    return [number for number in range(count) if number not in set(lost)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_of_a_whole_stream_comes_in_order(kind: str) -> None:
    stream = encoded(kind)
    found = answered(stream.codec, stream.packets)
    assert list(found.frames) == list(stream.frames)
    assert wrong(found.frames, stream.frames) == []
    # One answer for each packet, and the frames that were held are what is left.
    assert found.statuses.count(ImageStatus.OK) == COUNT - found.held
    assert found.statuses.count(ImageStatus.NO_FRAME_YET) == found.held


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_is_entered_at_any_packet(kind: str) -> None:
    stream = encoded(kind)
    for first in range(1, COUNT - 1):
        numbers = list(range(first, COUNT))
        found = answered(stream.codec, stream.packets[first:], numbers)
        assert wrong(found.frames, stream.frames) == [], first
        key = stream.next_key(first - 1)
        expected = set() if key is None else stream.shown_from(key)
        assert set(found.frames) >= expected, first
        # Before it only what is shown before it and was decoded from it.
        assert all(number >= key for number in found.frames), first  # type: ignore[operator]


@pytest.mark.parametrize("kind", KINDS)
def test_a_lost_packet_costs_no_frame_that_was_not_made_of_it(kind: str) -> None:
    stream = encoded(kind)
    for lost in range(COUNT):
        numbers = without([lost])
        packets = [stream.packets[number] for number in numbers]
        found = answered(stream.codec, packets, numbers)
        assert wrong(found.frames, stream.frames) == [], lost
        shown, key = set(found.frames), stream.next_key(lost)
        assert shown >= {number for number in stream.frames if number < lost}, lost
        if key is not None:
            assert shown >= stream.shown_from(key), lost
        # FFmpeg shows the others too, most of them wrong; those that are right by their own merit
        # are of pictures that nothing refers to.
        if stream.codec == "h265":
            shown_by_ffmpeg = by_ffmpeg(stream.codec, packets, numbers)
            right = set(shown_by_ffmpeg) - set(wrong(shown_by_ffmpeg, stream.frames))
            assert shown >= right, lost


@pytest.mark.parametrize("kind", KINDS)
def test_many_lost_packets_never_show_a_wrong_frame(kind: str) -> None:
    stream = encoded(kind)
    chance = random.Random(kind)  # noqa: S311 - the same losses every time
    for _ in range(25):
        lost = [number for number in range(1, COUNT) if chance.random() < 0.1]
        numbers = without(lost)
        found = answered(stream.codec, [stream.packets[number] for number in numbers], numbers)
        assert wrong(found.frames, stream.frames) == [], lost
        key = stream.next_key(max(lost, default=0))
        if key is not None:
            assert set(found.frames) >= stream.shown_from(key), lost


def vertical_pan(count: int) -> list[Picture]:
    """Pictures in which nothing moves to where x264, refreshing in columns, has not been yet."""
    photograph = cv2.imread(str(PHOTOGRAPH))
    assert photograph is not None
    return [
        np.ascontiguousarray(photograph[2 * number :][:HEIGHT, 300 : 300 + WIDTH])
        for number in range(count)
    ]


def test_a_stream_that_is_refreshed_in_strips_is_entered_where_it_says() -> None:
    options = {X264: "intra-refresh=1:scenecut=0"}
    packets = videos.encoded("h264", vertical_pan(COUNT), gop=10, **options)
    frames = by_ffmpeg("h264", packets)
    # Recovery points are ten packets apart, and say that eight more are needed.
    for first in range(1, COUNT - 20):
        numbers = list(range(first, COUNT))
        found = answered("h264", packets[first:], numbers)
        begun = -(-first // 10) * 10
        assert wrong(found.frames, frames) == []
        assert sorted(found.frames) == list(range(begun + 8, COUNT))
        assert found.statuses[: begun + 8 - first] == [WAITING] * (begun + 8 - first)
    for lost in range(1, COUNT - 20):
        numbers = without([lost])
        found = answered("h264", [packets[number] for number in numbers], numbers)
        begun = lost // 10 * 10 + 10
        assert wrong(found.frames, frames) == []
        assert sorted(found.frames) == [*range(lost), *range(begun + 8, COUNT)]


@pytest.mark.parametrize("gop", [12, 16, 32, 48])
@pytest.mark.parametrize("more", ["ref=1", "ref=3:slices=3", "interlaced=1:tff=1"])
def test_a_refreshed_stream_is_entered_whatever_numbers_its_pictures_have(
    gop: int, more: str
) -> None:
    # A frame_num of x264's has four bits. Where that of a recovery point is not 0, FFmpeg makes up
    # pictures for those before it; where it is, there is nothing that the picture could refer to.
    count = 2 * gop + 20
    options = {"preset": "veryfast", X264: f"intra-refresh=1:scenecut=0:{more}"}
    packets = videos.encoded("h264", vertical_pan(count), gop=gop, **options)
    frames = by_ffmpeg("h264", packets)
    assert len(frames) == count
    for first in range(1, gop + 2):
        numbers = list(range(first, count))
        found = answered("h264", packets[first:], numbers)
        begun = -(-first // gop) * gop
        assert wrong(found.frames, frames) == []
        assert sorted(found.frames) == list(range(begun + 8, count))
    for lost in (1, gop - 1, gop, gop + 1):
        numbers = without([lost], count)
        found = answered("h264", [packets[number] for number in numbers], numbers)
        begun = lost // gop * gop + gop
        assert wrong(found.frames, frames) == []
        assert sorted(found.frames) == [*range(lost), *range(begun + 8, count)]


@pytest.mark.parametrize("kind", ["h264 slices", "h264 slices without b-frames", "h264 mbaff"])
def test_a_lost_slice_is_noticed_before_others_are_made_of_its_picture(kind: str) -> None:
    b_frames = 0 if "without" in kind else 3
    interlaced = ":interlaced=1" if "mbaff" in kind else ""
    packets = videos.encoded(
        "h264",
        videos.pan(PHOTOGRAPH, 20, width=WIDTH, height=HEIGHT),
        gop=20,
        b_frames=b_frames,
        **{X264: f"slices=4:{PLAIN}{interlaced}"},
    )
    frames = by_ffmpeg("h264", packets)
    for number in range(1, 20):
        units = nal_units(packets[number], Codec.H264, MOST_PIXELS)
        slices = [unit for unit in units if unit.kind in SLICES]
        assert len(slices) == 4
        for lost in slices:
            damaged = list(packets)
            damaged[number] = annex_b(unit for unit in units if unit is not lost)
            found = answered("h264", damaged)
            assert wrong(found.frames, frames) == []
            assert set(found.frames) >= {other for other in frames if other < number}


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_a_damaged_picture_that_no_other_refers_to_costs_itself(codec: str) -> None:
    # FFmpeg's decoder of H.265 is sure of damage only where it has the hash of a picture.
    options = {X265: f"{PLAIN}:hash=1"} if codec == "h265" else {X264: PLAIN}
    pictures = videos.pan(PHOTOGRAPH, 20, width=WIDTH, height=HEIGHT)
    packets = videos.encoded(codec, pictures, gop=20, b_frames=2, **options)
    frames = by_ffmpeg(codec, packets)
    costly = 0
    for number in range(1, 20):
        units = nal_units(packets[number], Codec(codec), MOST_PIXELS)
        (unit,) = [each for each in units if each.kind in SLICES]
        referred = unit.reference if codec == "h264" else unit.type % 2 == 1
        damaged = list(packets)
        half = unit.data[: len(unit.data) // 2]
        kept = (each for each in units if each is not unit)
        damaged[number] = b"\0\0\0\1" + half + annex_b(kept)
        found = answered(codec, damaged)
        assert wrong(found.frames, frames) == []
        assert number not in found.frames
        assert found.statuses[number] is CORRUPT
        if referred:
            costly += 1
        else:
            assert set(found.frames) == set(frames) - {number}
    assert 0 < costly < 19


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_a_packet_that_was_cut_anywhere_is_mostly_noticed(codec: str) -> None:
    # Without wavefronts, of which H.265 says where each begins.
    options = {X265: "wpp=0"} if codec == "h265" else {}
    pictures = videos.pan(PHOTOGRAPH, 10, width=640, height=480)
    packets = videos.encoded(codec, pictures, gop=10, **options)
    frames = by_ffmpeg(codec, packets)
    cuts = missed = 0
    for number in range(1, 10):
        for part in (0.1, 0.3, 0.5, 0.7, 0.9):
            cut = packets[number][: int(len(packets[number]) * part)]
            found = answered(codec, [*packets[:number], cut])
            cuts += 1
            missed += bool(wrong(found.frames, frames))
    assert missed <= (0 if codec == "h264" else cuts // 5)
