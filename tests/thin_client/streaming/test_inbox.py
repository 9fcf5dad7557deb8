from __future__ import annotations

import threading
from dataclasses import replace

from thin_client.contract import Codec
from thin_client.streaming.inbox import MOST_UNITS, STALE_S, Inbox, Item
from thin_client.streaming.units import Unit


def unit(number: int, *, key: bool = False, disposable: bool = False) -> Item:
    at = number / 30
    data = Unit(b"", Codec.H264, number, key, disposable, at)
    return Item(number, at, unit=data)


def picture(number: int) -> Item:
    return Item(number, number / 30, picture=object())


def drained(inbox: Inbox) -> list[int]:
    found = []
    while (item := inbox.get(0.0)) is not None:
        found.append(item.timestamp_us)
    return found


def test_only_the_newest_picture_waits() -> None:
    inbox = Inbox(every_frame=False)
    for number in range(5):
        inbox.put(picture(number), number / 30)
    assert drained(inbox) == [4]
    assert inbox.dropped == 4


def test_units_that_are_not_late_all_wait() -> None:
    inbox = Inbox(every_frame=False)
    for number in range(5):
        inbox.put(unit(number, key=number == 0), number / 30)
    assert drained(inbox) == [0, 1, 2, 3, 4]
    assert inbox.dropped == 0


def test_late_units_go_up_to_the_next_key_frame() -> None:
    inbox = Inbox(every_frame=False)
    late = int(STALE_S * 30) + 2
    for number in range(40):
        inbox.put(unit(number, key=number in (0, late + 4)), number / 30)
        if number == late:
            assert inbox.flushes == 1
            assert drained(inbox) == []  # what comes now cannot be decoded
    found = drained(inbox)
    # From a key frame on, without a gap; and everything else was counted.
    assert found == [] or found == list(range(found[0], 40))
    assert inbox.dropped + len(found) == 40


def test_a_late_queue_goes_on_at_a_key_frame_that_is_fresh_itself() -> None:
    inbox = Inbox(every_frame=False)
    last = int(STALE_S * 30) + 2
    for number in range(last + 1):
        inbox.put(unit(number, key=number in (0, last - 2)), number / 30)
    assert drained(inbox) == [last - 2, last - 1, last]
    assert inbox.dropped == last - 2


def test_disposable_units_go_first() -> None:
    inbox = Inbox(every_frame=False)
    inbox.put(unit(0, disposable=True), 0.0)
    for number in (8, 9):
        inbox.put(unit(number), number / 30)
    inbox.put(unit(10), 10 / 30)
    assert drained(inbox) == [8, 9, 10]
    assert inbox.dropped == 1
    assert inbox.flushes == 0


def test_after_a_connection_was_lost_units_wait_for_a_key_frame() -> None:
    inbox = Inbox(every_frame=False)
    inbox.put(unit(0), 0.0)
    inbox.need_key()
    inbox.put(unit(1), 0.01)
    inbox.put(unit(2, key=True), 0.02)
    inbox.put(unit(3), 0.03)
    assert drained(inbox) == [2, 3]
    assert inbox.dropped == 2


def test_where_every_frame_counts_the_source_waits_and_nothing_is_dropped() -> None:
    inbox = Inbox(every_frame=True)

    def fill() -> None:
        for number in range(100):
            inbox.put(unit(number), 1000.0)
        inbox.end()

    filling = threading.Thread(target=fill)
    filling.start()
    found = []
    while not inbox.finished:
        item = inbox.get(1.0)
        if item is not None:
            found.append(item.timestamp_us)
    filling.join()
    assert found == list(range(100))
    assert inbox.dropped == 0


def test_who_waits_is_woken_by_the_end() -> None:
    inbox = Inbox(every_frame=False)
    threading.Timer(0.05, inbox.end).start()
    assert inbox.get(30.0) is None
    assert inbox.finished


def test_what_comes_faster_than_it_can_go_is_late_however_new_it_is() -> None:
    inbox = Inbox(every_frame=False)
    for number in range(10 * MOST_UNITS):
        # All at once, as from a file without a clock.
        inbox.put(replace(unit(number, key=number % 50 == 0), taken_at=0.0), 0.0)
        assert number < MOST_UNITS or inbox.dropped
    found = drained(inbox)
    assert len(found) <= MOST_UNITS
    assert found == list(range(found[0], 10 * MOST_UNITS))
    assert found[0] % 50 == 0
    assert inbox.dropped + len(found) == 10 * MOST_UNITS


def test_the_reason_why_a_source_is_over_is_kept_and_what_it_gave_is_taken_first() -> None:
    inbox = Inbox(every_frame=True)
    inbox.put(unit(0, key=True), 0.0)
    reason = ValueError("it broke off")
    inbox.end(reason)
    inbox.end()
    assert not inbox.finished
    assert drained(inbox) == [0]
    assert inbox.finished
    assert inbox.error is reason
