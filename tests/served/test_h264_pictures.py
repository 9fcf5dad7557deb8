"""Pictures of H.264 that no encoder at hand makes: fields, marking, gaps, kinds of order."""

from __future__ import annotations

import pytest
from contract import ImageStatus

from refusals import UndecodableError
from tests.bit_writer import nal_unit
from tests.decoding import (
    CORRUPT,
    HELD_BACK,
    WAITING,
    answered,
    by_ffmpeg,
    stream_decoder,
    wrong,
)
from tests.h264_writer import BASELINE, EXTENDED, HIGH, Writer, recovery_point

OK = ImageStatus.OK


def without(packets: list[bytes], *lost: int) -> tuple[list[bytes], list[int]]:
    numbers = [number for number in range(len(packets)) if number not in lost]
    return [packets[number] for number in numbers], numbers


def key(writer: Writer, colour: int = 0, **options: bool) -> bytes:
    return writer.sets() + writer.picture("I", 0, 0, colour, key=True, **options)


def following(writer: Writer, numbers: range, more: int = 0) -> list[bytes]:
    """P pictures that each copy the one before."""
    return [writer.picture("P", number, 2 * number, number + more) for number in numbers]


def assert_whole(packets: list[bytes], count: int) -> None:
    """Every picture comes, as FFmpeg shows it."""
    frames, found = by_ffmpeg("h264", packets), answered("h264", packets)
    assert len(frames) == count
    assert wrong(found.frames, frames) == []
    assert list(found.frames) == list(frames)


# Fields.


def in_fields(groups: int = 2, length: int = 6, **options: int) -> list[bytes]:
    """A stream of which each packet is a field; the second field of a key picture copies it."""
    writer = Writer(references=2, fields=True, **options)
    packets = []
    for frame in range(groups * length):
        number = frame % length
        if number == 0:
            packets.append(key(writer, 4 * frame, bottom=False))
            packets.append(writer.picture("P", 0, 1, 4 * frame + 1, bottom=True))
            continue
        for bottom in (False, True):
            # The first entry is the last field of the same parity.
            order, colour = 2 * number + bottom, 4 * frame + bottom
            packets.append(writer.picture("P", number, order, colour, bottom=bottom, entries=2))
    return packets


def test_a_frame_in_two_packets_is_answered_to_the_second_one_and_named_after_the_first() -> None:
    packets = in_fields()
    found = answered("h264", packets)
    assert found.statuses == [HELD_BACK, OK] * 12
    assert list(found.frames) == list(range(0, 24, 2))
    assert wrong(found.frames, by_ffmpeg("h264", packets)) == []
    # Nothing is held, however many fields were answered with nothing.
    assert found.held == 0


def test_both_fields_of_a_frame_may_come_in_one_packet() -> None:
    packets = in_fields()
    both = [first + second for first, second in zip(packets[::2], packets[1::2], strict=True)]
    found = answered("h264", both)
    assert found.statuses == [OK] * 12
    assert wrong(found.frames, by_ffmpeg("h264", both)) == []
    lost = answered("h264", *without(both, 2))
    assert lost.statuses == [OK] * 2 + [WAITING] * 3 + [OK] * 6


def test_frames_and_fields_may_take_turns() -> None:
    writer = Writer(references=2, fields=True)
    packets = [key(writer)]
    for number in range(1, 9):
        if number % 3:
            packets.append(writer.picture("P", number, 2 * number, number))
        else:
            packets.append(writer.picture("P", number, 2 * number, number, bottom=False))
            packets.append(writer.picture("P", number, 2 * number + 1, 20 + number, bottom=True))
    assert_whole(packets, 9)


def test_a_frame_of_which_the_second_field_names_what_is_not_there_is_not_shown() -> None:
    writer = Writer(references=2, fields=True)
    packets = in_fields(groups=1, length=3)
    packets.append(writer.picture("P", 3, 6, 6, bottom=False, reference=False))
    packets.append(writer.picture("P", 3, 7, 7, bottom=True, reference=False, named=[(0, 9)]))
    packets += [
        writer.picture("P", 3, 8 + bottom, 8 + bottom, bottom=bottom > 0, entries=2)
        for bottom in (0, 1)
    ]
    found = answered("h264", packets)
    # Nothing refers to it.
    assert list(found.frames) == [0, 2, 4, 8]
    assert found.statuses[6:] == [HELD_BACK, WAITING, HELD_BACK, OK]


def test_a_field_that_lacks_its_other_half_is_noticed_by_a_frame_too() -> None:
    writer = Writer(references=2, fields=True)
    packets = [key(writer)]
    for number in (1, 2):
        packets.append(writer.picture("P", number, 2 * number, number, bottom=False))
        packets.append(writer.picture("P", number, 2 * number + 1, 20 + number, bottom=True))
    # The frame copies the one in fields.
    packets += [writer.picture("P", 3, 6, 3), writer.picture("P", 4, 8, 4), key(writer, 9)]
    found = answered("h264", *without(packets, 4))
    assert found.statuses == [OK, HELD_BACK, OK, HELD_BACK, WAITING, WAITING, OK]


@pytest.mark.parametrize("cut", [2, 3])
def test_a_frame_of_which_one_field_is_damaged_is_not_shown(cut: int) -> None:
    packets = in_fields()
    packets[cut] = packets[cut][: len(packets[cut]) // 3]
    found = answered("h264", packets)
    assert found.statuses[cut] is CORRUPT
    assert list(found.frames) == [0, *range(12, 24, 2)]


@pytest.mark.parametrize("reorder", [0, None])
@pytest.mark.parametrize("lost", range(2, 12))
def test_a_lost_field_costs_the_frames_up_to_the_next_key_frame(
    lost: int, reorder: int | None
) -> None:
    packets = in_fields(reorder=reorder)  # type: ignore[arg-type]
    frames = by_ffmpeg("h264", packets)
    found = answered("h264", *without(packets, lost))
    assert wrong(found.frames, frames) == []
    assert list(found.frames) == [*range(0, lost - lost % 2, 2), *range(12, 24, 2)]


def test_the_very_first_frame_may_lack_a_field() -> None:
    packets = in_fields()
    for lost in ((0,), (1,), (0, 1), (1, 2)):
        found = answered("h264", *without(packets, *lost))
        assert wrong(found.frames, by_ffmpeg("h264", packets)) == []
        assert list(found.frames)[-6:] == list(range(12, 24, 2))


# What becomes of references.


def test_a_picture_that_makes_the_decoder_forget_all_others_begins_the_numbers_anew() -> None:
    writer = Writer(references=3)
    packets = [key(writer), *following(writer, range(1, 5))]
    packets.append(writer.picture("P", 5, 10, 5, marking=[(5,)]))
    packets += following(writer, range(1, 9), more=5)
    assert_whole(packets, 14)
    found = answered("h264", packets)
    assert found.statuses == [OK] * 14
    # A loss after it is noticed by the new numbers.
    lost = answered("h264", *without(packets, 7))
    assert lost.statuses == [OK] * 7 + [WAITING] * 6


def test_pictures_are_kept_for_long() -> None:
    writer = Writer(references=3)
    packets = [key(writer), writer.picture("P", 1, 2, 1, marking=[(4, 2), (6, 0)])]
    packets += following(writer, range(2, 5))
    packets.append(writer.picture("P", 5, 10, 5, named=[(2, 0)]))
    packets += following(writer, range(6, 9))
    assert_whole(packets, 9)
    assert wrong(answered("h264", *without(packets, 1)).frames, by_ffmpeg("h264", packets)) == []


def test_lists_may_have_places_for_which_there_is_no_picture_yet() -> None:
    writer = Writer(references=3, lists=3)
    assert_whole([key(writer), *following(writer, range(1, 9))], 9)


def test_a_picture_that_cannot_be_forgotten_because_it_is_not_there_harms_nothing() -> None:
    writer = Writer(references=2)
    packets = [writer.sets() + recovery_point(0) + writer.picture("I", 7, 0, 0)]
    # Picture 3 came before the recovery point.
    packets.append(writer.picture("P", 8, 2, 1, marking=[(1, 4)]))
    packets += [writer.picture("P", number, 2 * number - 14, number) for number in range(9, 12)]
    found = answered("h264", packets)
    assert found.statuses == [OK] * 5
    assert wrong(found.frames, by_ffmpeg("h264", packets)) == []


def test_a_packet_that_comes_twice_is_not_decoded_twice() -> None:
    writer = Writer(references=2)
    packets = [key(writer), *following(writer, range(1, 6)), key(writer, 9)]
    frames = by_ffmpeg("h264", packets)
    stream = stream_decoder("h264")
    statuses = [stream.decode(packets[number], number) for number in (0, 1, 2, 2, 3, 4, 5)]
    assert statuses[3:] == [WAITING] * 4
    twice = answered("h264", [*packets[:3], packets[2], *packets[3:]], [0, 1, 2, 9, 3, 4, 5, 6])
    assert wrong(twice.frames, frames) == []
    assert list(twice.frames) == [0, 1, 2, 6]


@pytest.mark.parametrize("lost", range(1, 15))
def test_a_loss_of_fewer_references_than_there_are_numbers_is_noticed(lost: int) -> None:
    # Of four bits there are 16 numbers; the 15th that is lost has that of the last one that came.
    writer = Writer(references=1)
    packets = [key(writer), *following(writer, range(1, 20))]
    found = answered("h264", *without(packets, *range(3, 3 + lost)))
    assert found.statuses == [OK] * 3 + [WAITING] * (17 - lost)


def test_a_picture_that_names_one_that_is_not_there_is_not_shown() -> None:
    # Sixteen are lost, which the numbers do not show.
    writer = Writer(references=2, order_bits=8)
    packets = [key(writer), *following(writer, range(1, 19))]
    packets.append(writer.picture("P", 19, 38, 19, named=[(0, 5)]))
    packets += following(writer, range(20, 22))
    found = answered("h264", *without(packets, *range(3, 19)))
    assert found.statuses == [OK] * 3 + [WAITING] * 3


def test_a_picture_may_have_a_slice_for_each_block_and_slices_that_repeat_others() -> None:
    writer = Writer(columns=40, rows=30, references=1)
    packets = [
        writer.sets() + writer.picture("I", 0, 0, 0, key=True, slices=1200),
        writer.picture("P", 1, 2, 1, slices=1200),
    ]
    assert_whole(packets, 2)
    writer = Writer(references=1, redundant=True)
    packets = [key(writer), *(writer.picture("P", at, 2 * at, at, slices=3) for at in range(1, 6))]
    assert_whole(packets, 6)


def test_a_packet_with_two_frames_is_no_access_unit() -> None:
    writer = Writer(references=1)
    packets = [key(writer), *following(writer, range(1, 4))]
    found = answered("h264", [packets[0], packets[1] + packets[2], packets[3], key(writer, 8)])
    assert found.statuses == [OK, CORRUPT, WAITING, OK]


def test_a_slice_that_comes_twice_is_one() -> None:
    writer = Writer(references=1)
    picture = writer.picture("P", 1, 2, 1, slices=2)
    first = picture[: picture.index(b"\0\0\0\1", 4)]
    packets = [key(writer), first + picture, *following(writer, range(2, 4))]
    found = answered("h264", packets)
    assert found.statuses == [OK] * 4


# Numbers that may be left out.


def with_gap(*, named: bool = True) -> list[bytes]:
    """Picture 4 is left out; the one after it copies picture 3."""
    writer = Writer(references=2, gaps=True)
    packets = [key(writer), *following(writer, range(1, 4))]
    packets.append(writer.picture("P", 5, 8, 4, named=[(0, 1)] if named else []))
    packets += [writer.picture("P", 6, 10, 5), writer.picture("P", 7, 12, 6)]
    return [*packets, key(writer, 9), *following(writer, range(1, 3), more=9)]


def test_pictures_that_are_left_out_are_not_missed() -> None:
    assert_whole(with_gap(), 10)
    assert answered("h264", with_gap()).statuses == [OK] * 10


@pytest.mark.parametrize("lost", [1, 2, 3, 4, 5, 6])
def test_where_pictures_may_be_left_out_the_lists_of_references_tell_of_a_loss(lost: int) -> None:
    packets = with_gap()
    found = answered("h264", *without(packets, lost))
    assert wrong(found.frames, by_ffmpeg("h264", packets)) == []
    assert list(found.frames) == [*range(lost), 7, 8, 9]


def test_a_picture_that_was_left_out_may_stand_further_down_in_a_list() -> None:
    writer = Writer(references=3, gaps=True)
    packets = [key(writer), *following(writer, range(1, 4))]
    packets.append(writer.picture("P", 5, 8, 4, named=[(0, 1)], entries=2))
    packets += [writer.picture("P", 6, 10, 5), writer.picture("P", 7, 12, 6)]
    assert answered("h264", packets).statuses == [OK] * 7
    assert_whole(packets, 7)


# Where decoding can begin.


def refreshed(count: int) -> list[bytes]:
    """From the fifth packet on a row of each picture is new, so that four make a whole one."""
    writer = Writer(references=1)
    packets = [key(writer), *following(writer, range(1, 4))]
    for number in range(4, count):
        row = (number - 4) % 4
        picture = writer.picture("P", number, 2 * number, number, slices=4)
        slices = [b"\0\0\0\1" + each for each in picture.split(b"\0\0\0\1")[1:]]
        whole = writer.picture("I", number, 2 * number, number, slices=4)
        slices[row] = b"\0\0\0\1" + whole.split(b"\0\0\0\1")[1:][row]
        point = writer.sets() + recovery_point(3) if row == 0 else b""
        packets.append(point + b"".join(slices))
    return packets


@pytest.mark.parametrize("first", [1, 3, 4])
def test_pictures_are_shown_when_as_many_came_as_the_recovery_point_says(first: int) -> None:
    packets = refreshed(16)
    frames = by_ffmpeg("h264", packets)
    found = answered("h264", packets[first:], list(range(first, 16)))
    assert wrong(found.frames, frames) == []
    assert list(found.frames) == list(range(7, 16))
    assert found.statuses == [WAITING] * (7 - first) + [OK] * 9


def test_a_picture_that_is_whole_does_not_make_those_after_it_so() -> None:
    # FFmpeg takes an intra picture for a place to begin where few references are kept.
    writer = Writer(references=2)
    packets = [key(writer), *following(writer, range(1, 4))]
    packets.append(writer.sets() + recovery_point(5) + writer.picture("P", 4, 8, 4))
    packets.append(writer.picture("I", 5, 10, 5))
    packets += [writer.picture("P", at, 2 * at, at, entries=2, copies=1) for at in (6, 7, 8)]
    found = answered("h264", packets[1:], list(range(1, 9)))
    assert found.statuses == [WAITING] * 8


def test_what_is_shown_before_a_key_picture_and_comes_after_it_is_right() -> None:
    for reorder in (1, None):
        writer = Writer(references=2, reorder=reorder)
        packets = [key(writer), writer.picture("B", 1, -4, 1, reference=False)]
        packets += [writer.picture("B", 1, -2, 2, reference=False), writer.picture("P", 1, 2, 3)]
        assert sorted(answered("h264", packets).frames) == [0, 1, 2, 3]


def test_a_loss_while_a_picture_is_refreshed_waits_for_the_next_recovery_point() -> None:
    packets = refreshed(20)
    frames = by_ffmpeg("h264", packets)
    for lost in (4, 5, 6, 7):
        found = answered("h264", *without(packets, 0, 1, 2, 3, lost))
        assert wrong(found.frames, frames) == []
        assert list(found.frames) == list(range(11, 20))


def test_a_picture_that_refers_to_others_is_no_key_frame_whatever_is_said_before_it() -> None:
    writer = Writer(references=1)
    packets = [writer.sets() + recovery_point(0) + writer.picture("P", 4, 8, 1)]
    packets += [writer.picture("P", 5, 10, 2), key(writer, 3)]
    assert answered("h264", packets).statuses == [WAITING, WAITING, OK]


def in_strips(writer: Writer, number: int, colour: int, *, upper: bool, begins: bool) -> bytes:
    """A picture of which one half is intra and the other copies the picture before."""
    intra, copied = (
        writer.picture(kind, number, 2 * number, colour, slices=2) for kind in ("I", "P")
    )
    halves = [each.split(b"\0\0\0\1")[1:] for each in (intra, copied)]
    first, second = (halves[0][0], halves[1][1]) if upper else (halves[1][0], halves[0][1])
    begin = writer.sets() + recovery_point(1) if begins else b""
    return begin + b"\0\0\0\1" + first + b"\0\0\0\1" + second


@pytest.mark.parametrize("reorder", [0, None])
@pytest.mark.parametrize("upper", [True, False])
def test_a_stream_begins_where_half_a_picture_is_refreshed(
    upper: bool, reorder: int | None
) -> None:
    writer = Writer(references=1, reorder=reorder)
    packets = [key(writer)]
    for number in range(1, 40):
        strip = number % 8
        if strip < 2:
            half = upper if strip == 0 else not upper
            packets.append(in_strips(writer, number, number, upper=half, begins=strip == 0))
        else:
            packets.append(writer.picture("P", number, 2 * number, number))
    frames = by_ffmpeg("h264", packets)
    assert len(frames) == 40
    held = answered("h264", packets).held
    for first in range(1, 25):
        numbers = list(range(first, 40))
        found = answered("h264", packets[first:], numbers)
        assert wrong(found.frames, frames) == [], first
        assert sorted(found.frames) == list(range(-(-first // 8) * 8 + 1, 40)), first
        assert found.held == held


def test_lists_may_be_longer_than_there_are_pictures() -> None:
    for order_type in (0, 2):
        writer = Writer(references=4, order_type=order_type, lists=4)
        packets = []
        for group in range(2):
            packets.append(key(writer, 8 * group))
            packets += [
                writer.picture("P", number, 2 * number, 8 * group + number)
                for number in range(1, 6)
            ]
        assert_whole(packets, 12)


@pytest.mark.parametrize("named", [[(0, 40)], [(2, 40)]])
def test_a_picture_that_names_a_reference_which_there_cannot_be_is_damaged(
    named: list[tuple[int, int]],
) -> None:
    writer = Writer(references=2)
    packets = [key(writer), *following(writer, range(1, 3))]
    packets.append(writer.picture("P", 3, 6, 3, named=named))
    packets += [writer.picture("P", 4, 8, 4), key(writer, 5)]
    assert answered("h264", packets).statuses == [OK, OK, OK, CORRUPT, WAITING, OK]


def test_what_a_packet_without_a_picture_says_holds_for_the_next_one() -> None:
    writer = Writer(references=1)
    packets = []
    for group in range(3):
        packets += [writer.sets(), recovery_point(0)]
        packets.append(writer.picture("I", 4 * group, 8 * group, group))
        packets += [
            writer.picture("P", 4 * group + more, 8 * group + 2 * more, group + 4 * more)
            for more in (1, 2, 3)
        ]
    found = answered("h264", packets)
    group = [HELD_BACK, HELD_BACK, OK, OK, OK, OK]
    assert found.statuses == [WAITING, WAITING, *group[2:], *group, *group]
    # Nor does it say anything twice.
    lost = answered("h264", *without(packets, 4, 7, 13))
    assert lost.statuses[:6] == [WAITING, WAITING, OK, OK, WAITING, WAITING]
    assert list(lost.frames) == [2, 3]


def test_packets_of_nothing_that_matters_change_nothing() -> None:
    writer = Writer(references=1)
    delimiter, filler = nal_unit(b"\x09", b"\xf0"), nal_unit(b"\x0c", b"\xff\xff\x80")
    words = nal_unit(b"\x06", bytes([5, 17]) + b"sixteen bytes id!" + b"\x80")
    end = nal_unit(b"\x0a", b"")
    packets = [delimiter, delimiter + key(writer) + filler, filler, words, delimiter]
    packets += [*following(writer, range(1, 3)), end, key(writer, 5), key(writer, 6) + end]
    packets += [key(writer, 7), *following(writer, range(1, 3))]
    found = answered("h264", packets)
    nothing = [HELD_BACK] * 3
    assert found.statuses == [WAITING, OK, *nothing, OK, OK, HELD_BACK, *[OK] * 5]


def test_slices_in_another_order_count_as_damage() -> None:
    writer = Writer(references=1)
    begin, *slices = writer.picture("P", 1, 2, 1, slices=3).split(b"\0\0\0\1")
    turned = begin + b"".join(b"\0\0\0\1" + each for each in reversed(slices))
    assert answered("h264", [key(writer), turned, key(writer, 2)]).statuses == [OK, CORRUPT, OK]


def test_pictures_before_a_broken_link_are_never_made_of_those_after_it() -> None:
    writer = Writer(references=2, reorder=1)
    one = [key(writer), writer.picture("P", 1, 4, 1)]
    one.append(writer.picture("B", 2, 2, 2, reference=False))
    # The numbers go on as if nothing had been cut out.
    other = [recovery_point(0, broken=True) + writer.picture("I", 2, 12, 3)]
    other.append(writer.picture("B", 3, 10, 4, reference=False))
    other.append(writer.picture("P", 3, 16, 5))
    other.append(writer.picture("B", 4, 14, 6, reference=False))
    found = answered("h264", one + other)
    assert list(found.frames) == [0, 2, 1, 3, 6, 5]
    assert found.statuses[4] is WAITING


# Order, and what FFmpeg does not decode.


@pytest.mark.parametrize("order_type", [1, 2])
def test_every_type_of_order_is_followed(order_type: int) -> None:
    reorder = 1 if order_type == 1 else 0
    for said in (reorder, None):
        writer = Writer(references=2, order_type=order_type, reorder=said)
        packets, number = [key(writer)], 1
        for place in range(8):
            packets.append(writer.picture("P", number, 0, 2 * place + 1))
            number += 1
            packets.append(writer.picture("P", number, 0, 2 * place + 2, reference=False))
        assert_whole(packets, 17)


@pytest.mark.parametrize("change", ["size", "number", "references"])
def test_sequence_sets_change_at_a_key_frame_and_no_frame_is_lost(change: str) -> None:
    other = {
        "size": Writer(reorder=1, columns=6),
        "number": Writer(reorder=1),
        "references": Writer(reorder=1, references=4, order_bits=8),
    }[change]
    packets = []
    for group in range(4):
        writer = other if group % 2 else Writer(reorder=1)
        number = group % 2 if change == "number" else 0
        colour = 9 * group
        begin = writer.picture("I", 0, 0, colour, key=True, picture_set=number)
        packets.append(writer.sets(number) + begin)
        for more in (1, 2):
            packets.append(writer.picture("P", more, 4 * more, colour + more, picture_set=number))
            packets.append(
                writer.picture(
                    "B",
                    more + 1,
                    4 * more - 2,
                    colour + more + 4,
                    reference=False,
                    picture_set=number,
                )
            )
    found = answered("h264", packets)
    order = [5 * group + place for group in range(4) for place in (0, 2, 1, 4, 3)]
    assert list(found.frames) == order
    assert found.statuses.count(ImageStatus.OK) + found.held == 20


def test_a_sequence_set_may_leave_open_what_the_one_before_said_of_order() -> None:
    said, unsaid = Writer(references=4), Writer(references=4, reorder=None)
    packets = [key(said), *following(said, range(1, 3))]
    # A pyramid: what is shown first comes last.
    packets += [key(unsaid, 5), unsaid.picture("P", 1, 16, 6), unsaid.picture("P", 2, 8, 7)]
    packets += [unsaid.picture("P", 3, 4, 8)]
    packets += [
        unsaid.picture("P", 4, order, 9 + order, reference=False) for order in (2, 6, 10, 12, 14)
    ]
    packets += [key(said, 3), *following(said, range(1, 3))]
    found = answered("h264", packets)
    assert list(found.frames) == [0, 1, 2, 3, 7, 6, 8, 5, 9, 10, 11, 4, 12, 13, 14]


def test_what_ffmpeg_does_not_decode_is_refused_in_words() -> None:
    groups = Writer(profile=BASELINE)
    with pytest.raises(UndecodableError, match=r"slices in 2 groups \(FMO\), which FFmpeg"):
        stream_decoder("h264").decode(groups.sequence_set() + groups.picture_set(groups=2), 0)
    partitions = Writer(profile=EXTENDED)
    with pytest.raises(UndecodableError, match="data partitions, which FFmpeg does not decode"):
        stream_decoder("h264").decode(partitions.sets() + nal_unit(b"\x62", b"\x80"), 0)
    for depths in ((8, 10), (10, 8)):
        unequal = Writer(profile=HIGH, depths=depths)
        with pytest.raises(UndecodableError, match="bits of luma and"):
            stream_decoder("h264").decode(unequal.sets(), 0)


def test_a_stream_that_was_decoded_is_not_refused_for_a_damaged_set() -> None:
    writer = Writer(profile=BASELINE, references=1)
    stream = stream_decoder("h264")
    stream.decode(key(writer), 0)
    assert stream.decode(writer.sequence_set() + writer.picture_set(groups=2), 1) is CORRUPT
    found = answered("h264", [key(writer), *following(writer, range(1, 3))])
    assert found.statuses == [OK] * 3
