from __future__ import annotations

import pytest

from thin_client.contract import Codec
from thin_client.streaming import kept as module
from thin_client.streaming.kept import Kept
from thin_client.streaming.units import Unit


def unit(number: int, *, key: bool = False, recovery: int = 0) -> Unit:
    return Unit(b"x" * 10, Codec.H264, number, key, False, 0.0, recovery=recovery)


def numbers(kept: Kept) -> list[int] | None:
    units = kept.units()
    return None if units is None else [each.timestamp_us for each in units]


def test_everything_from_the_last_key_that_came_back_is_kept() -> None:
    kept = Kept()
    for number in range(10):
        kept.add(unit(number, key=number % 4 == 0))
    assert numbers(kept) == list(range(10))
    for number in range(4):
        kept.confirm(number)
        assert numbers(kept) == list(range(10))
    kept.confirm(4)
    assert numbers(kept) == [4, 5, 6, 7, 8, 9]
    kept.confirm(5)
    assert numbers(kept) == [4, 5, 6, 7, 8, 9]
    kept.confirm(8)
    assert numbers(kept) == [8, 9]


def test_a_key_is_no_place_to_begin_before_its_own_frame_came_back() -> None:
    # In an open group pictures 5 and 6 follow key 7 and are shown before it.
    kept = Kept()
    for number in (0, 1, 2, 7, 5, 6, 8):
        kept.add(unit(number, key=number in (0, 7)))
    for number in (0, 1, 2, 5, 6):
        kept.confirm(number)
        assert numbers(kept) == [0, 1, 2, 7, 5, 6, 8]
    kept.confirm(7)
    assert numbers(kept) == [7, 5, 6, 8]


def test_where_pictures_are_whole_later_the_key_before_is_kept_too() -> None:
    kept = Kept()
    for number in range(35):
        kept.add(unit(number, key=number % 10 == 0, recovery=8 if number else 0))
    kept.confirm(10)
    assert numbers(kept) == list(range(35))
    kept.confirm(20)
    assert numbers(kept) == list(range(10, 35))
    kept.confirm(30)
    assert numbers(kept) == list(range(20, 35))


def test_keys_closer_than_pictures_take_to_become_whole_let_nothing_go() -> None:
    kept = Kept()
    for number in range(30):
        kept.add(unit(number, key=number % 10 == 0, recovery=12))
    kept.confirm(10)
    kept.confirm(20)
    assert numbers(kept) == list(range(30))


def test_a_stream_of_one_key_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 100)
    kept = Kept()
    for number in range(25):
        kept.add(unit(number, key=number == 0))
        assert len(kept.units() or ()) <= 10
    assert numbers(kept) is None
    kept.add(unit(25, key=True))
    kept.add(unit(26))
    assert numbers(kept) == [25, 26]
    kept.add(unit(27, key=True))
    kept.confirm(27)
    assert numbers(kept) == [27]
