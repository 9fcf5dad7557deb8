from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from assignment import assign


def total(costs: np.ndarray, pairs: list[tuple[int, int]], limit: float) -> float:
    return sum(costs[pair] - limit for pair in pairs)


def least(costs: np.ndarray, limit: float) -> float:
    """By trying all."""
    rows, columns = costs.shape
    if rows > columns:
        return least(costs.T, limit)
    gains = np.minimum(costs - limit, 0)
    return min(gains[np.arange(rows), order].sum() for order in permutations(range(columns), rows))


@pytest.mark.parametrize("seed", range(200))
def test_no_other_pairs_cost_less(seed: int) -> None:
    rng = np.random.default_rng(seed)
    costs = rng.random(rng.integers(1, 7, 2))
    if seed % 3:
        costs[rng.random(costs.shape) < 0.5] = np.inf
    limit = float(rng.uniform(0.2, 0.9))
    pairs = assign(costs, limit)
    assert all(costs[pair] < limit for pair in pairs)
    for side in zip(*pairs, strict=True):
        assert len(set(side)) == len(side)
    assert total(costs, pairs, limit) == pytest.approx(least(costs, limit))


def test_nothing_goes_with_nothing() -> None:
    assert assign(np.empty((0, 3)), 0.5) == []
    assert assign(np.empty((3, 0)), 0.5) == []
    assert assign(np.full((2, 2), np.inf), 0.5) == []


def test_many_that_all_overlap_are_solved_too() -> None:
    rng = np.random.default_rng(1)
    costs = rng.random((120, 100)) * 0.5
    pairs = assign(costs, 0.8)
    assert len(pairs) == 100
    # Near the best that there can be: each column's least.
    assert sum(costs[pair] for pair in pairs) < costs.min(axis=0).sum() * 2
