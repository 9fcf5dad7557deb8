"""Numbers that repeat: one measurement of a contestant, and ratios over rounds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar


@dataclass(frozen=True)
class Sample:
    """One measurement of one contestant.

    Attributes:
        images_per_s: throughput.
        cpu_ms: user and system time of an image, the load generator left out; None where the work
            is somebody else's.
        p50_ms: median latency.
    """

    images_per_s: float
    cpu_ms: float | None
    p50_ms: float


Rounds = Mapping[str, Sequence[Sample]]
Measured = TypeVar("Measured")


@dataclass(frozen=True)
class Ratio:
    """A ratio taken in every round.

    Attributes:
        median: of the rounds.
        low: the least.
        high: the most.
        rounds: how many.
    """

    median: float
    low: float
    high: float
    rounds: int


def play(
    contestants: Mapping[str, Callable[[], Measured]], rounds: int
) -> Iterator[dict[str, Measured]]:
    """Measure all contestants in every round; yield the rounds.

    Every round begins with the next contestant, so that none always follows the same one.
    """
    names = list(contestants)
    for number in range(rounds):
        first = number % len(names)
        order = names[first:] + names[:first]
        found = {name: contestants[name]() for name in order}
        yield {name: found[name] for name in names}


def ratio(over: Sequence[float], under: Sequence[float]) -> Ratio:
    """Return the ratio of two values that were measured in the same rounds.

    Raises:
        ValueError: not as many of one as of the other, or none.
    """
    ratios = [one / other for one, other in zip(over, under, strict=True)]
    if not ratios:
        raise ValueError("no round was measured")
    return Ratio(statistics.median(ratios), min(ratios), max(ratios), len(ratios))
