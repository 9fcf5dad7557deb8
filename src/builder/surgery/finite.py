"""Scores and boxes that are not finite: they become nothing before anything is picked by them.

TopK may take a NaN for the largest number of all, and what a comparison with one comes to differs
from runtime to runtime: OpenVINO finds it greater than anything.
"""

from __future__ import annotations

from builder.surgery.graph_builder import GraphBuilder

# Pixels, or a score; whatever is larger is no more a box or a score than infinity is. Areas of
# boxes up to here still fit float32.
LARGEST = 1e15
# Ends the names of tensors that say of each score whether it and its box are finite.
IS_FINITE = "_is_finite"


def finite_scores(build: GraphBuilder, scores: str, boxes: str, *, short: str) -> str:
    """Return the scores, 0 for those that are not finite or whose box is not.

    Args:
        build: of the graph that holds them.
        scores: ``[N, A, C]``.
        boxes: ``[N, A, 4]``.
        short: of the added names.
    """
    finite = is_finite(build, scores, boxes, short=short)
    return only_where(build, finite, scores, short=short)


def is_finite(build: GraphBuilder, scores: str, boxes: str, *, short: str) -> str:
    """Return where both a score and its box are finite: bool ``[N, A, C]``; arguments as above."""
    box_sizes = build.node("Abs", [boxes], f"{short}_box_sizes")
    # Added up one by one: reductions of OpenVINO pass over a NaN, and in TensorRT Turing knows no
    # float32 product.
    extent, *others = (
        build.slice(box_sizes, f"{short}_side_{side}", side, side + 1) for side in range(4)
    )
    for side, column in enumerate(others):
        extent = build.node("Add", [extent, column], f"{short}_extent_{side}")
    sizes = build.node("Abs", [scores], f"{short}_sizes")
    size = build.node("Add", [sizes, extent], f"{short}_size")
    too_large = build.scalar(f"{short}_too_large", 10 * LARGEST)
    number = build.node(
        "Where", [build.node("IsNaN", [size], f"{short}_nan"), too_large, size], f"{short}_number"
    )
    return build.node("Less", [number, build.scalar(f"{short}_limit", LARGEST)], short + IS_FINITE)


def without_nan(build: GraphBuilder, tensor: str, *, short: str) -> str:
    """Return a tensor with 0 for what is not a number."""
    where = build.node("IsNaN", [tensor], f"{short}_nan")
    return build.node("Where", [where, _zero(build, short), tensor], f"{short}_without_nan")


def only_where(build: GraphBuilder, where: str, tensor: str, *, short: str) -> str:
    """Return a tensor with 0 where ``where`` is false."""
    return build.node("Where", [where, tensor, _zero(build, short)], f"{short}_only")


def _zero(build: GraphBuilder, short: str) -> str:
    return build.scalar(f"{short}_nothing", 0)
