"""Constants that hold a number for each cell of the feature maps, for any size up to the export's.

Ultralytics' head adds anchors, the centres of the cells, and multiplies by strides. In an export
for one size both are constants for all cells of all maps, map after map. Those of a smaller input
are the corner at the top left of each map.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from builder.detectors.head_evidence import STRIDE_SETS
from builder.surgery.graph_builder import GraphBuilder
from builder.surgery.size_probe import UnopenableError


def split_grid(
    values: NDArray[np.generic], axis: int, image: tuple[int, int]
) -> list[tuple[int, NDArray[np.generic]]]:
    """Return the maps in a constant: the stride of each, and its values with two axes for cells.

    Args:
        values: one number, or several, for each cell.
        axis: that of the cells, of all maps.
        image: height and width of the export.

    Raises:
        UnopenableError: they are not the cells of maps, or follow no rule that goes on in the next
            row and column: what was learned for a place is of no use in another picture's.
    """
    height, width = image
    for strides in STRIDE_SETS:
        maps = [(height // stride, width // stride) for stride in strides]
        if sum(rows * columns for rows, columns in maps) != values.shape[axis]:
            continue
        ends = np.cumsum([rows * columns for rows, columns in maps])
        parts = np.split(values, ends[:-1], axis)
        before, after = values.shape[:axis], values.shape[axis + 1 :]
        grids = [
            part.reshape(*before, *size, *after) for part, size in zip(parts, maps, strict=True)
        ]
        if all(_is_even(grid, axis) for grid in grids):
            return list(zip(strides, grids, strict=True))
    raise UnopenableError("it has constants for one size that are no grid of cells")


def _is_even(grid: NDArray[np.generic], axis: int) -> bool:
    """Whether the step from row to row and from column to column is the same everywhere."""
    exact = grid.astype(np.float64)
    for along in (axis, axis + 1):
        steps = np.diff(exact, axis=along)
        if steps.size and not np.array_equal(steps, np.broadcast_to(steps.flat[0:1], steps.shape)):
            first = np.take(steps, [0], axis=along)
            if not np.array_equal(steps, np.broadcast_to(first, steps.shape)):
                return False
    return True


def open_grid(
    build: GraphBuilder,
    maps: Sequence[tuple[int, NDArray[np.generic]]],
    axis: int,
    image_size: str,
    short: str,
) -> str:
    """Append what cuts the corner of each map out of its values, and joins them again.

    Args:
        build: of the graph.
        maps: as :func:`split_grid` returns them.
        axis: of the cells.
        image_size: int64 ``[2]`` in the graph: height and width of the input.
        short: of the names.
    """
    rank = maps[0][1].ndim - 1
    parts = []
    for stride, grid in maps:
        name = f"{short}_{stride}"
        rows_columns = build.node(
            "Div", [image_size, build.constant(f"{name}_stride", [stride, stride])], f"{name}_size"
        )
        inputs = [
            build.constant(f"{name}_values", np.ascontiguousarray(grid)),
            build.constant(f"{name}_from", [0, 0]),
            rows_columns,
            build.constant(f"{name}_axes", [axis, axis + 1]),
        ]
        corner = build.node("Slice", inputs, f"{name}_corner")
        flat = [*grid.shape[:axis], -1, *grid.shape[axis + 2 :]]
        parts.append(build.node("Reshape", [corner, build.constant(f"{name}_flat", flat)], name))
    return build.node("Concat", parts, short, axis=axis if rank else 0)
