"""Which kinds of frames get a compilation of their own."""

from __future__ import annotations

import itertools

from wanted_compilations import AGAIN, LATELY, MOST, Kind, WantedCompilations


def kind(number: int) -> Kind:
    return Kind(32 * (number + 1), 640, alone=True)


def full() -> WantedCompilations:
    """A set without room, of kinds that came as often as it takes."""
    wanted = WantedCompilations()
    for number in range(MOST):
        for _ in range(AGAIN):
            wanted.came(kind(number))
    return wanted


def test_a_kind_is_compiled_when_it_comes_again_and_only_once() -> None:
    wanted = WantedCompilations()
    answers = [wanted.came(kind(0)) for _ in range(AGAIN + 3)]
    assert answers == [(number == AGAIN - 1, None) for number in range(AGAIN + 3)]
    assert wanted.has(kind(0))


def test_frames_alone_and_apart_are_two_kinds() -> None:
    wanted = WantedCompilations()
    wanted.came(Kind(384, 640, alone=True))
    assert wanted.came(Kind(384, 640, alone=False)) == (False, None)
    assert wanted.came(Kind(384, 640, alone=True)) == (True, None)


def test_there_are_never_more_than_the_bound() -> None:
    wanted, compiled = WantedCompilations(), set()
    for number in [*range(3 * MOST), *range(3 * MOST), *[3 * MOST] * LATELY]:
        now, going = wanted.came(kind(number))
        compiled -= {going}
        compiled |= {kind(number)} if now else set()
        assert len(compiled) <= MOST
        assert all(wanted.has(each) for each in compiled)
    assert kind(3 * MOST) in compiled


def test_what_comes_much_more_often_takes_the_place_of_the_rarest() -> None:
    wanted = full()
    for number in range(1, MOST):
        for _ in range(10):
            wanted.came(kind(number))
    assert wanted.is_full()
    answers = [wanted.came(kind(MOST)) for _ in range(2 * AGAIN + AGAIN)]
    assert answers[-1] == (True, kind(0))
    assert not any(now for now, _ in answers[:-1])
    assert not wanted.has(kind(0))


def test_many_kinds_that_come_equally_often_do_not_push_each_other_out() -> None:
    wanted = full()
    turns = itertools.islice(itertools.cycle(range(4 * MOST)), 20 * LATELY)
    assert not any(wanted.came(kind(number))[0] for number in turns)


def test_what_came_long_ago_does_not_count() -> None:
    wanted = WantedCompilations()
    wanted.came(kind(0))
    for _ in range(LATELY):
        wanted.came(kind(1))
    assert wanted.came(kind(0)) == (False, None)


def test_a_kind_that_cannot_be_compiled_is_not_tried_again() -> None:
    wanted = WantedCompilations()
    wanted.came(kind(0))
    assert wanted.came(kind(0))[0]
    wanted.refuse(kind(0))
    assert not any(wanted.came(kind(0))[0] for _ in range(LATELY))
