"""Parsers of what comes from outside, on inputs that nobody would think of.

A few seconds of hypothesis, the same inputs every time; `make fuzz` goes on for longer, led by what
code an input reaches.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from tests.fuzz.targets import TARGETS, seeds

EXAMPLES = int(os.environ.get("FRAMEWIRE_FUZZ_EXAMPLES", "150"))
QUIET = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def changed(target: str) -> some.SearchStrategy[bytes]:
    """Seeds with pieces of them cut out, doubled, and written over."""
    kept = list(seeds(target))
    piece = some.tuples(
        some.integers(0, 2**20), some.integers(0, 64), some.binary(max_size=12) | some.none()
    )

    def apply(seed: bytes, pieces: list[tuple[int, int, bytes | None]]) -> bytes:
        for at, length, new in pieces:
            begin = at % (len(seed) + 1)
            taken = seed[begin : begin + length]
            seed = seed[:begin] + (taken * 2 if new is None else new) + seed[begin + length :]
        return seed

    return some.builds(apply, some.sampled_from(kept), some.lists(piece, max_size=6))


@pytest.mark.parametrize("name", list(TARGETS))
def test_seeds_and_findings_are_still_survived(name: str) -> None:
    kept = list(seeds(name))
    assert kept
    for data in kept:
        TARGETS[name](data)


@pytest.mark.parametrize("name", list(TARGETS))
def test_any_bytes_are_survived(name: str) -> None:
    _try(TARGETS[name], some.binary(max_size=256))


@pytest.mark.parametrize("name", list(TARGETS))
def test_seeds_that_were_changed_are_survived(name: str) -> None:
    _try(TARGETS[name], changed(name))


def _try(target: Callable[[bytes], None], inputs: some.SearchStrategy[Any]) -> None:
    @QUIET
    @given(inputs)
    def survives(data: bytes) -> None:
        target(data)

    survives()
