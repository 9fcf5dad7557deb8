"""Which rows of a cost matrix go with which columns, for the least cost in all.

Own code and not scipy's ``linear_sum_assignment``: the served models have no scipy, whose import
takes more memory than all of a tracker. Overlaps of boxes are sparse, so the matrix falls into
parts of a box or two, and the solver sees only what is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pairs = list[tuple[int, int]]


def assign(costs: NDArray[np.float32] | NDArray[np.float64], limit: float) -> Pairs:
    """Return the pairs (row, column) of least cost, where to leave one out costs ``limit``.

    The same as ``lap.lapjv(costs, extend_cost=True, cost_limit=limit)``, with which ByteTrack is
    published: a pair must cost less than ``limit``, and all together as little as possible.

    Args:
        costs: ``[rows, columns]``; inf where a pair may not be.
        limit: more than 0.
    """
    allowed = costs < limit
    if not allowed.any():
        return []
    pairs: Pairs = []
    for rows, columns in _parts(allowed):
        if len(rows) == 1:
            best = int(np.argmin(costs[rows[0], columns]))
            pairs.append((rows[0], columns[best]))
        elif len(columns) == 1:
            best = int(np.argmin(costs[rows, columns[0]]))
            pairs.append((rows[best], columns[0]))
        else:
            gains = np.minimum(costs[np.ix_(rows, columns)] - limit, 0).astype(np.float64)
            pairs += [(rows[row], columns[column]) for row, column in _solve(gains)]
    return sorted(pairs)


def _parts(allowed: NDArray[np.bool_]) -> list[tuple[list[int], list[int]]]:
    """Return the rows and columns of each connected part of a bipartite graph."""
    parts = []
    unseen = set(map(int, np.flatnonzero(allowed.any(axis=1))))
    while unseen:
        edge = {min(unseen)}
        rows: set[int] = set()
        columns: set[int] = set()
        while edge:
            rows |= edge
            reached = np.flatnonzero(allowed[sorted(edge)].any(axis=0))
            fresh = [column for column in map(int, reached) if column not in columns]
            columns.update(fresh)
            edge = set(map(int, np.flatnonzero(allowed[:, fresh].any(axis=1)))) - rows
        unseen -= rows
        parts.append((sorted(rows), sorted(columns)))
    return parts


def _solve(costs: NDArray[np.float64]) -> Pairs:
    """Return the pairs of least cost; costs are 0 at most, and those of 0 are no pairs.

    Shortest augmenting paths with potentials (Jonker and Volgenant, Computing 38, 1987), row by
    row. Each row has a column of its own for being left out, at no cost.
    """
    rows, columns = costs.shape
    alone = np.full((rows, rows), np.inf)
    np.fill_diagonal(alone, 0)
    costs = np.hstack([costs, alone])
    width = columns + rows
    of_row, of_column = np.zeros(rows), np.zeros(width)
    holder = np.full(width, -1)
    for start in range(rows):
        shortest = np.full(width, np.inf)
        before = np.full(width, -1)
        done = np.zeros(width, bool)
        row, column, distance = start, -1, 0.0
        while True:
            through = distance + costs[row] - of_row[row] - of_column
            better = ~done & (through < shortest)
            shortest[better] = through[better]
            before[better] = column
            column = int(np.argmin(np.where(done, np.inf, shortest)))
            distance = float(shortest[column])
            done[column] = True
            if holder[column] < 0:
                break
            row = int(holder[column])
        of_row[start] += distance
        seen = done & (holder >= 0)
        of_row[holder[seen]] += distance - shortest[seen]
        of_column[seen] -= distance - shortest[seen]
        while column >= 0:
            previous = int(before[column])
            holder[column] = start if previous < 0 else holder[previous]
            column = previous
    return [
        (int(holder[column]), column)
        for column in range(columns)
        if holder[column] >= 0 and costs[holder[column], column] < 0
    ]
