"""Targets p4 and p4b: the memory of a server over that of the same by an earlier build."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from builder.benchmark.earlier_build import COMMIT
from builder.benchmark.sample import ratio
from builder.benchmark.targets import Target

TODAY, EARLIER = "this build", f"build of commit {COMMIT}"


@dataclass(frozen=True)
class ServerMemory:
    """What a server took in one round, by process, PSS in MB of 2**20 bytes.

    Attributes:
        idle: after its start, when nobody had called it.
        loaded: under full load, each process on average.
    """

    idle: dict[str, float]
    loaded: dict[str, float]


def memory_targets(
    today: Sequence[ServerMemory], earlier: Sequence[ServerMemory], why_not: str = ""
) -> tuple[Target, ...]:
    """Return targets p4 and p4b from rounds with both builds; without rounds they say why."""

    def target(number: str, meaning: str, goal: float, state: str) -> Target:
        ours, theirs = ([_total(each, state) for each in rounds] for rounds in (today, earlier))
        found = ratio(ours, theirs) if ours else None
        return Target(number, f"{meaning} over that of commit {COMMIT}", goal, True, found, why_not)

    return (
        target("p4", "memory (PSS) of the idle server", 0.75, "idle"),
        target("p4b", "memory (PSS) under full load of 1080p JPEGs", 0.85, "loaded"),
    )


def memory_lines(today: ServerMemory, earlier: ServerMemory) -> tuple[str, ...]:
    """Return one round in words, a line for each process: before and after, idle and loaded."""
    names = [*earlier.idle, *(name for name in today.idle if name not in earlier.idle)]
    return tuple(
        f"PSS of {name}, {COMMIT} to today: idle {earlier.idle.get(name, 0):.0f} to "
        f"{today.idle.get(name, 0):.0f} MB, loaded {earlier.loaded.get(name, 0):.0f} to "
        f"{today.loaded.get(name, 0):.0f} MB"
        for name in names
    )


def _total(memory: ServerMemory, state: str) -> float:
    processes: dict[str, float] = getattr(memory, state)
    return sum(processes.values())
