"""Parameter sets: remembered, given to the decoder when they are needed, and counted."""

from __future__ import annotations

import tracemalloc
from collections import deque

import pytest
from contract import Codec, ImageStatus

from h264_sets import SET_BYTES
from known_sets import MOST_BYTES, SETS, KnownSets, MissingSetError
from nal_units import Kind, annex_b, nal_units
from parameter_sets import BadParameterSetError
from refusals import RefusedPacketError
from tests import videos
from tests.bit_writer import BitWriter, nal_unit
from tests.conftest import ROOT
from tests.decoding import CORRUPT, HELD_BACK, MOST_PIXELS, WAITING, answered, stream_decoder
from tests.h264_writer import Writer
from video_decoder import VideoDecoder

OK = ImageStatus.OK


def take(sets: KnownSets, packet: bytes, codec: Codec = Codec.H264) -> None:
    sets.take(nal_units(packet, codec, MOST_PIXELS))


def known(reserved: list[int] | None = None, codec: Codec = Codec.H264) -> KnownSets:
    return KnownSets(codec, lambda _: None, [].append if reserved is None else reserved.append)


def test_a_decoder_gets_what_a_picture_refers_to_and_nothing_twice() -> None:
    writer, sets = Writer(), known()
    take(sets, writer.sets(0) + writer.sets(1) + writer.picture_set(2, sequence=1))
    assert [unit.type for unit in sets.for_decoder([0])] == [7, 8]
    assert sets.for_decoder([0]) == []
    assert [unit.type for unit in sets.for_decoder([0, 2])] == [7, 8]
    assert [unit.type for unit in sets.for_decoder([1])] == [8]
    take(sets, writer.sets(0))
    assert sets.for_decoder([0, 1, 2]) == []
    assert sets.for_decoder([3]) == []
    sets.begin()
    assert [unit.type for unit in sets.for_decoder([1, 2])] == [7, 8, 8]


def test_a_sequence_set_that_changes_brings_its_picture_sets_with_it() -> None:
    sets = known()
    take(sets, Writer().sets(0) + Writer().picture_set(1, sequence=0))
    sets.for_decoder([0, 1])
    take(sets, Writer(columns=6).sequence_set(0))
    assert [unit.type for unit in sets.for_decoder([1])] == [7, 8]
    assert [unit.type for unit in sets.for_decoder([0])] == [8]


def test_a_video_set_that_changes_brings_all_others_with_it() -> None:
    (packet,) = videos.encoded("h265", videos.pan(ROOT / "samples" / "yard.jpg", 1))
    sets = known(codec=Codec.H265)
    take(sets, packet, Codec.H265)
    assert [unit.type for unit in sets.for_decoder([0])] == [32, 33, 34]
    take(sets, nal_unit(b"\x40\x01", BitWriter().bits(4, 0).bits(12, 77).data()), Codec.H265)
    assert [unit.type for unit in sets.for_decoder([0])] == [32, 33, 34]


def test_a_damaged_set_under_another_number_is_never_given_to_a_decoder() -> None:
    writer = Writer(references=1)
    # Two of FFmpeg's own would not begin with these before them.
    strange = nal_unit(
        b"\x67", BitWriter().bits(24, 0x4D0028).unsigned(5, 0, 2, 1).bits(1, 0).data()
    )
    stray = writer.picture_set(9, sequence=8)
    packets = [writer.sets() + writer.picture("I", 0, 0, 0, key=True), strange, stray]
    packets += [writer.picture("I", 0, 0, 1, key=True), writer.picture("P", 1, 2, 2)]
    assert answered("h264", packets).statuses == [OK, CORRUPT, WAITING, OK, OK]


def test_sets_may_come_one_to_a_packet_and_several_may_be_in_use() -> None:
    one, two = Writer(references=1), Writer(references=1, columns=6)
    packets = [one.sequence_set(0), one.picture_set(0), two.sequence_set(1), two.picture_set(1)]
    for group in range(4):
        writer, number = ((one, 0), (two, 1))[group % 2]
        packets.append(writer.picture("I", 0, 0, group, key=True, picture_set=number))
        packets.append(writer.picture("P", 1, 2, group + 1, picture_set=number))
    found = answered("h264", packets)
    assert found.statuses == [WAITING] * 4 + [OK] * 8
    assert {planes.shape[1] for planes in found.frames.values()} == {64, 96}


def test_slices_of_one_picture_may_refer_to_several_sets() -> None:
    writer = Writer(references=1)
    begin = writer.sets() + writer.picture("I", 0, 0, 0, key=True)
    halves = [
        writer.picture("P", 1, 2, 1, slices=2, picture_set=number).split(b"\0\0\0\1")[1 + number]
        for number in (0, 1)
    ]
    picture = b"".join(b"\0\0\0\1" + half for half in halves)
    packets = [begin, writer.picture_set(1, sequence=0), picture, writer.picture("P", 2, 4, 2)]
    assert answered("h264", packets).statuses == [OK, HELD_BACK, OK, OK]


def test_a_slice_whose_sets_never_came_is_damaged() -> None:
    writer = Writer(references=1)
    begin = writer.sets() + writer.picture("I", 0, 0, 0, key=True)
    halves = [
        writer.picture("P", 1, 2, 1, slices=2, picture_set=number).split(b"\0\0\0\1")[1 + number]
        for number in (0, 1)
    ]
    picture = b"".join(b"\0\0\0\1" + half for half in halves)
    assert answered("h264", [begin, picture, begin]).statuses == [OK, CORRUPT, OK]


def test_a_picture_whose_sets_never_came_waits_for_them() -> None:
    writer = Writer(references=1)
    packets = [writer.picture("I", 0, 0, 0, key=True), writer.sequence_set()]
    packets += [writer.picture("I", 0, 0, 1, key=True), writer.picture_set()]
    packets += [writer.picture("I", 0, 0, 2, key=True)]
    assert answered("h264", packets).statuses == [WAITING] * 4 + [OK]


@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.parametrize("decodes", [False, True])
def test_a_stream_of_sets_alone_takes_no_more_memory_than_is_counted(
    codec: str, decodes: bool
) -> None:
    (packet,) = videos.encoded(codec, videos.pan(ROOT / "samples" / "yard.jpg", 1))
    units = nal_units(packet, Codec(codec), MOST_PIXELS)
    (picture_set,) = [unit.data for unit in units if unit.kind is Kind.PICTURE_SET]
    counted: deque[int] = deque(maxlen=1)
    stream = VideoDecoder(Codec(codec), MOST_PIXELS, lambda _: None, counted.append)
    stream.decode(packet if decodes else annex_b(u for u in units if u.kind in SETS), 0)
    at_first = counted[0]
    # The end of a set says nothing that is read.
    ends = [f"{number:04}".encode() * 2000 for number in range(50)]
    tracemalloc.start()
    for round_trip in range(60):
        for end in ends:
            flood = b"\0\0\0\1" + picture_set + end + bytes([round_trip + 1])
            assert stream.decode(flood, 0) is (HELD_BACK if decodes else WAITING)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < MOST_BYTES
    assert counted[0] == at_first
    # The stream goes on.
    assert stream.decode(packet, 0) not in {WAITING, CORRUPT}


def test_every_set_that_a_decoder_may_have_is_counted() -> None:
    reserved: list[int] = []
    sets = known(reserved)
    take(sets, Writer().sets(0))
    take(sets, Writer().sets(0))
    assert len(reserved) == 1
    for number in range(1, 30):
        take(sets, Writer().picture_set(number, sequence=0))
    assert reserved[-1] - reserved[0] == 29 * SET_BYTES
    # The largest pictures count, whichever set came last.
    take(sets, Writer(columns=60, rows=40).sequence_set(1))
    large = reserved[-1]
    take(sets, Writer().sequence_set(2))
    assert reserved[-1] == large > reserved[0] + 29 * SET_BYTES


def test_sets_that_found_no_room_ask_for_it_again() -> None:
    room = [False]

    def reserve(_: int) -> None:
        if not room[0]:
            raise RefusedPacketError("no room", elsewhere=True)

    writer = Writer(references=1)
    stream = VideoDecoder(Codec.H264, MOST_PIXELS, lambda _: None, reserve)
    key = writer.sets() + writer.picture("I", 0, 0, 0, key=True)
    for _ in range(2):
        with pytest.raises(RefusedPacketError):
            stream.decode(key, 0)
    room[0] = True
    assert stream.decode(key, 0) not in {WAITING, CORRUPT}


@pytest.mark.parametrize("damaged", [b"\0\0\0\1\x67", b"\0\0\0\1\x68"], ids=["sps", "pps"])
def test_sets_before_a_damaged_one_ask_for_room_too(damaged: bytes) -> None:
    room, asked = [False], []

    def reserve(size: int) -> None:
        asked.append(size)
        if not room[0]:
            raise RefusedPacketError("no room", elsewhere=True)

    writer = Writer(references=1)
    picture = writer.picture("I", 0, 0, 0, key=True)
    stream = VideoDecoder(Codec.H264, MOST_PIXELS, lambda _: None, reserve)
    with pytest.raises(RefusedPacketError):
        stream.decode(writer.sets() + damaged, 0)
    assert stream.decode(picture, 0) is WAITING
    room[0] = True
    # They are whole, and may not come again.
    assert stream.decode(writer.sets() + damaged, 0) is CORRUPT
    assert stream.decode(picture, 0) not in {WAITING, CORRUPT}
    assert len(asked) == 2


def test_more_sets_than_any_stream_needs_are_refused_and_the_stream_begins_anew() -> None:
    writer, sets = Writer(), known()
    take(sets, writer.sets())
    long = writer.picture_set(1) + b"\x55" * MOST_BYTES
    with pytest.raises(BadParameterSetError):
        take(sets, long)
    with pytest.raises(MissingSetError):
        sets.of_picture(0)
    stream = stream_decoder("h264")
    key = writer.sets() + writer.picture("I", 0, 0, 0, key=True)
    assert [stream.decode(each, 0) for each in (long, long)] == [CORRUPT] * 2
    assert stream.decode(key, 0) not in {WAITING, CORRUPT}
