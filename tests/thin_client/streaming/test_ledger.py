"""What became of each frame, told by answers in their order."""

from __future__ import annotations

import numpy as np
import pytest

from thin_client.contract import Codec, ImageStatus
from thin_client.detections import Detections
from thin_client.streaming.ledger import Arrived, Ledger
from thin_client.streaming.packets import Answer
from thin_client.streaming.units import Unit

OK, HELD = ImageStatus.OK, ImageStatus.NO_FRAME_YET
WAITING, CORRUPT = ImageStatus.WAITING_FOR_KEY_FRAME, ImageStatus.CORRUPT_PACKET
STEP = 40_000
NOTHING = Detections(
    np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32), (), 64, 64
)


def unit(number: int, *, shown: bool = True, frame: bool = True) -> Unit:
    return Unit(b"x", Codec.H264, STEP * number, number == 0, False, 0.0, shown=shown, frame=frame)


class Stream:
    """A ledger, and the units that were sent."""

    def __init__(self, *, fields: bool = False) -> None:
        self.ledger = Ledger()
        self.fields = fields

    def send(self, *units: Unit) -> None:
        for each in units:
            self.ledger.leaves(each, 1.0, None)

    def answer(
        self, to: Unit | None, status: ImageStatus = OK, frame: int | None = None
    ) -> Arrived | None:
        """An answer to a unit that is about the frame of a number, its own unless said."""
        detections = NOTHING if status is OK else Detections.failed(status)
        if frame is None and to is not None and status is OK:
            frame = to.timestamp_us // STEP
        stamp = -1 if frame is None else STEP * frame
        return self.ledger.answered(Answer(detections, 0, stamp), to, fields=self.fields)

    def ended(self, *, complete: bool = True) -> tuple[int, int]:
        self.ledger.ended(complete=complete, fields=self.fields)
        return self.ledger.sent, self.ledger.lost


def test_frames_that_come_back_are_told_apart_and_none_is_lost() -> None:
    stream = Stream()
    units = [unit(number) for number in (0, 2, 1, 4, 3)]
    stream.send(*units)
    arrived = [
        stream.answer(units[0], HELD),
        *(stream.answer(units[at], frame=at - 1) for at in range(1, 5)),
        stream.answer(None, frame=4),
        stream.answer(None, WAITING),
    ]
    times = [each.time_us for each in arrived if each is not None]
    assert times == [STEP * number for number in range(5)]
    assert stream.ended() == (5, 0)


def test_of_a_damaged_packet_its_frame_is_lost_and_those_that_were_thrown_away_with_it() -> None:
    stream = Stream()
    units = [unit(number) for number in range(60)]
    stream.send(*units)
    stream.answer(units[0], HELD)
    stream.answer(units[1], HELD)
    assert stream.answer(units[2], frame=0) is not None
    assert stream.answer(units[3], CORRUPT) is None
    assert stream.ledger.lost == 1
    assert stream.answer(units[4], WAITING) is None
    assert stream.ledger.lost == 2
    for each in units[5:]:
        assert stream.answer(each) is not None
    assert stream.ledger.lost == 4  # 1 and 2, which have not come
    assert stream.ended() == (60, 4)


def test_what_a_decoder_held_at_a_fault_may_come_all_the_same() -> None:
    stream = Stream()
    units = [unit(number) for number in range(6)]
    stream.send(*units)
    stream.answer(units[0], HELD)
    stream.answer(units[1], HELD)
    stream.answer(units[2], CORRUPT)
    found = [stream.answer(units[3], frame=0), stream.answer(units[4], frame=1)]
    assert [each and each.time_us for each in found] == [0, STEP]
    stream.answer(units[5], WAITING)
    assert stream.ended() == (6, 4)


def test_a_frame_that_the_decoder_swallowed_is_lost() -> None:
    stream = Stream()
    units = [unit(number) for number in range(50)]
    stream.send(*units)
    stream.answer(units[0])
    stream.answer(units[1], HELD)
    for each in units[2:]:
        stream.answer(each)
    assert stream.ledger.lost == 1
    assert stream.ended() == (50, 1)


def test_what_has_not_come_at_the_end_is_lost() -> None:
    stream = Stream()
    units = [unit(number) for number in range(4)]
    stream.send(*units)
    stream.answer(units[0], HELD)
    stream.answer(units[1], frame=0)
    stream.answer(units[2], HELD)
    assert stream.ended() == (4, 3)


@pytest.mark.parametrize("shown", [True, False])
def test_second_fields_are_not_lost_frames(shown: bool) -> None:
    stream = Stream(fields=True)
    units = [unit(number, shown=shown) for number in range(200)]
    stream.send(*units)
    arrived = []
    for number in range(0, 200, 2):
        assert stream.answer(units[number], HELD) is None
        arrived.append(stream.answer(units[number + 1], frame=number))
    assert [each.time_us for each in arrived if each is not None] == [
        2 * STEP * number for number in range(100)
    ]
    assert stream.ended() == (200, 0)


def test_a_fault_among_fields_costs_what_was_held_and_no_more() -> None:
    stream = Stream(fields=True)
    units = [unit(number) for number in range(40)]
    stream.send(*units)
    for number in range(0, 30, 2):
        stream.answer(units[number], HELD)
        stream.answer(units[number + 1], frame=number)
    stream.answer(units[30], HELD)
    stream.answer(units[31], CORRUPT)
    for each in units[32:]:
        stream.answer(each, WAITING)
    # Ten packets of the last five frames, and the second field before them: none before that.
    assert 10 <= stream.ended()[1] <= 11


def test_fields_that_a_server_never_answered_are_lost() -> None:
    stream = Stream(fields=True)
    stream.send(*(unit(number) for number in range(4)))
    assert stream.ended(complete=False) == (4, 4)


def test_what_a_file_has_cut_away_is_neither_sent_nor_lost_nor_found() -> None:
    stream = Stream()
    units = [unit(0, frame=False), unit(1, frame=False), unit(2)]
    stream.send(*units)
    assert [stream.answer(each) is not None for each in units] == [False, False, True]
    assert stream.ended() == (1, 0)


def test_with_a_connection_all_is_lost_but_what_is_sent_again() -> None:
    stream = Stream()
    units = [unit(number) for number in range(5)]
    stream.send(*units)
    stream.answer(units[0])
    stream.ledger.interrupted({STEP * number for number in (2, 3, 4)})
    assert stream.ledger.lost == 1
    arrived = [stream.answer(units[number]) for number in (2, 3, 4)]
    assert all(each is not None for each in arrived)
    assert stream.ended() == (5, 1)


def test_what_came_back_before_and_comes_once_more_is_not_delivered_twice() -> None:
    stream = Stream()
    units = [unit(number) for number in range(3)]
    stream.send(*units)
    assert stream.answer(units[0]) is not None
    stream.ledger.interrupted({each.timestamp_us for each in units})
    assert [stream.answer(each) is not None for each in units] == [False, True, True]
    assert stream.ended() == (3, 0)


def test_a_picture_finds_its_frame_whether_it_comes_before_or_after_it_left() -> None:
    stream = Stream()
    early, late = object(), object()
    stream.ledger.draw_into(0, early)
    stream.send(unit(0), unit(1))
    stream.ledger.draw_into(STEP, late)
    arrived = [stream.answer(unit(number)) for number in range(2)]
    assert [each and each.picture for each in arrived] == [early, late]


def test_pictures_that_nobody_asks_for_do_not_pile_up() -> None:
    ledger = Ledger()
    for number in range(1000):
        ledger.draw_into(STEP * number, object())
    assert len(ledger._early) <= 32
