"""Which kinds of frames get a compilation of their own."""

from __future__ import annotations

import itertools

from wanted_compilations import AGAIN, LATELY, MOST, Kind, WantedCompilations


def kind(number: int) -> Kind:
    return Kind(32 * (number + 1), 640, alone=True)


def full() -> WantedCompilations:
    """A set without room, of kinds that came equally often."""
    wanted = WantedCompilations()
    for _ in range(LATELY // MOST):
        for number in range(MOST):
            wanted.came(kind(number))
    return wanted


def test_a_kind_is_compiled_when_it_comes_again_and_only_once() -> None:
    wanted = WantedCompilations()
    answers = [wanted.came(kind(0)) for _ in range(AGAIN + 3)]
    assert answers == [(number == AGAIN - 1, None) for number in range(AGAIN + 3)]
    assert wanted.has(kind(0))


def test_frames_alone_and_apart_are_two_kinds() -> None:
    wanted = WantedCompilations()
    for _ in range(AGAIN - 1):
        wanted.came(Kind(384, 640, alone=True))
    assert wanted.came(Kind(384, 640, alone=False)) == (False, None)
    assert wanted.came(Kind(384, 640, alone=True)) == (True, None)


def test_there_are_never_more_than_the_bound() -> None:
    wanted, compiled = WantedCompilations(), set()
    waves = [[number] * 2 * AGAIN for number in range(3 * MOST)]
    for number in itertools.chain(*waves, [3 * MOST] * LATELY):
        now, going = wanted.came(kind(number))
        compiled -= {going}
        compiled |= {kind(number)} if now else set()
        assert len(compiled) <= MOST
        assert all(wanted.has(each) for each in compiled)
    assert kind(3 * MOST) in compiled


def test_what_comes_much_more_often_takes_the_place_of_the_rarest() -> None:
    wanted = full()
    gone = []
    for number in range(LATELY):
        # Two of those that have one keep coming.
        wanted.came(kind(number % 2))
        now, going = wanted.came(kind(MOST))
        gone += [going] if now else []
    assert wanted.has(kind(MOST))
    assert len(gone) == 1
    assert gone[0] not in {None, kind(0), kind(1)}


def test_what_comes_no_more_goes() -> None:
    wanted = full()
    gone = [wanted.came(kind(0))[1] for _ in range(LATELY)]
    assert {each for each in gone if each} == {kind(number) for number in range(1, MOST)}


def test_many_kinds_that_come_equally_often_get_none() -> None:
    wanted = WantedCompilations()
    turns = itertools.islice(itertools.cycle(range(4 * MOST)), 20 * LATELY)
    assert not any(wanted.came(kind(number))[0] for number in turns)


def test_several_sizes_without_their_own_are_a_mix() -> None:
    wanted = WantedCompilations()
    seen = []
    for number in range(3):
        wanted.came(Kind(32 * (number + 1), 640, alone=False))
        seen.append(wanted.is_mix())
    assert seen == [False, False, True]
    alone = WantedCompilations()
    for number in range(9):
        alone.came(kind(number))
    assert not alone.is_mix()


def test_what_came_long_ago_does_not_count() -> None:
    wanted = WantedCompilations()
    for _ in range(AGAIN - 1):
        wanted.came(kind(0))
    for _ in range(LATELY):
        wanted.came(kind(1))
    assert wanted.came(kind(0)) == (False, None)


def test_a_kind_that_cannot_be_compiled_is_not_tried_again() -> None:
    wanted = WantedCompilations()
    assert [wanted.came(kind(0))[0] for _ in range(AGAIN)][-1]
    wanted.refuse(kind(0))
    assert not any(wanted.came(kind(0))[0] for _ in range(LATELY))
