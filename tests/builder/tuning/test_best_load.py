"""How many requests in flight: the most throughput within the bound, found on known machines."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from builder.tuning.search import REPEATS, best_load
from builder.tuning.trial import Point, VariantTrial


class Machine:
    """Answers ``most`` images a second at most, an image alone after 20 ms; counts as it is asked.

    Args:
        most: images a second.
        noise: factors of the latency, of one measurement after the other.
    """

    def __init__(self, most: float, noise: Iterable[float] = ()) -> None:
        self.most = most
        self.noise = iter(noise)
        self.asked: list[int] = []
        self.expected: list[float] = []

    def measure(self, in_flight: int, expected: float) -> Point:
        self.asked.append(in_flight)
        self.expected.append(expected)
        images_per_s = min(in_flight * 50, self.most)
        latency_ms = 1e3 * in_flight / images_per_s * next(self.noise, 1)
        return Point(in_flight, images_per_s, latency_ms, latency_ms, None)

    def best(self, bound_ms: float, *, begin: int = 1, most: int = 256) -> VariantTrial:
        return best_load("tiny", self.measure, bound_ms, begin=begin, most=most)


@pytest.mark.parametrize("begin", [1, 4, 64])
@pytest.mark.parametrize(("bound_ms", "in_flight"), [(25, 8), (50, 16), (90, 32), (1000, 16)])
def test_the_load_with_the_most_throughput_within_the_bound(
    begin: int, bound_ms: float, in_flight: int
) -> None:
    # 400 images a second from 8 in flight on: 16 take 40 ms, 32 take 80 ms.
    found = Machine(400).best(bound_ms, begin=begin)
    assert found.held is not None
    assert found.held.images_per_s == 400
    assert found.held.p99_ms <= bound_ms
    if begin == 1:
        assert found.held.in_flight == 8  # the first of the equally fast


def test_more_load_is_given_up_when_it_gains_nothing() -> None:
    machine = Machine(100)
    machine.best(10_000)
    assert max(machine.asked) == 8


def test_no_more_in_flight_than_allowed() -> None:
    machine = Machine(10_000)
    found = machine.best(10_000, most=24)
    assert max(machine.asked) == 16 == found.in_flight


def test_every_load_is_told_what_the_one_before_did() -> None:
    machine = Machine(400)
    machine.best(1000, most=4)
    assert machine.expected[:3] == [0, 50, 100]


def test_the_winner_is_measured_again() -> None:
    machine = Machine(400)
    found = machine.best(25)
    assert machine.asked.count(8) == 1 + REPEATS
    assert found.held is not None
    assert len(found.held.points) == 1 + REPEATS
    assert len(found.points) == len(machine.asked)


def test_a_load_that_kept_the_bound_by_luck_gives_way_to_a_smaller_one() -> None:
    # 8 in flight take 20 ms; in truth twice that, as the second and third measurement show.
    found = Machine(400, noise=[1, 1, 1, 1, 9, 2, 2]).best(25)
    assert found.held is not None
    assert found.held.in_flight == 4


def test_a_beginning_that_kept_the_bound_by_luck_too() -> None:
    found = Machine(400, noise=[1, 9, 2, 2]).best(25, begin=8)
    assert found.held is not None
    assert found.held.in_flight == 4


def test_nothing_keeps_a_bound_that_is_too_tight() -> None:
    machine = Machine(400)
    found = machine.best(19, begin=8)
    assert found.held is None
    assert machine.asked == [8, 4, 2, 1]
    assert found.quickest.p99_ms == 20
