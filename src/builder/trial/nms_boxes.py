"""How the boxes of ONNX's NonMaxSuppression are meant, by looking at some.

Overlaps are the same whichever of x and y comes first and whatever the unit is, so the node says
neither: its specification has y first, and torch exports its own boxes, x first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from builder.detectors.graph_facts import dims_of, image_input, taken_by
from builder.trial.measured_outputs import run_on_frames

# Boxes of an image that reach no further than this lie in 0 to 1, or a little beyond.
LARGEST_SHARE = 2.0
# Fewer boxes have no order.
FEWEST_BOXES = 16
# One side must fit so many times better than the other, or nothing is decided.
DECISIVE = 1.5


@dataclass(frozen=True)
class BoxOrder:
    """What boxes of four numbers are.

    Attributes:
        y_first: whether y stands before x.
        normalised: whether they lie in 0 to 1.
    """

    y_first: bool
    normalised: bool


def nms_box_order(model: onnx.ModelProto, boxes: str, width: int, height: int) -> BoxOrder | None:
    """Tell how the corners in a tensor of a graph are meant, by running it up to there once.

    Args:
        model: a detector as it came; unchanged.
        boxes: the tensor, ``[N, A, 4]``: two opposite corners.
        width: of the input, in pixels.
        height: of the input, in pixels.

    Returns:
        None where it cannot be told, or nothing here runs the graph.
    """
    _, _, open_height, open_width = (size is None for size in dims_of(image_input(model)[0]))
    if open_height and open_width and width == height:
        # x and y are told apart more easily where their sides are.
        width *= 2
    runs = run_on_frames(_up_to(model, boxes), width, height)
    if runs is None:
        return None
    found = runs[0][0]
    if found.ndim != 3 or found.shape[2] != 4:
        return None
    return box_order(found[0].astype(np.float32), width, height)


def box_order(corners: NDArray[np.float32], width: int, height: int) -> BoxOrder | None:
    """Tell how boxes are meant that belong to all the places of an image.

    1. Where width and height differ, by how far their centres reach in each direction.
    2. Else by the order of the boxes: every exporter numbers a grid row by row, so from one box to
       the next x changes much and y little.

    Args:
        corners: float32 ``[A, 4]``: two opposite corners, in the order of the graph.
        width: of the frame, in pixels.
        height: of the frame, in pixels.
    """
    corners = corners[np.isfinite(corners).all(axis=1)]
    if len(corners) < FEWEST_BOXES:
        return None
    centres = (corners[:, :2] + corners[:, 2:]) / 2
    normalised = bool(np.abs(corners).max() <= LARGEST_SHARE)
    if width != height and not normalised:
        reach = centres.max(axis=0)
        x_first = float(np.abs(reach - (width, height)).sum())
        y_first = float(np.abs(reach - (height, width)).sum())
        if max(x_first, y_first) > DECISIVE * min(x_first, y_first):
            return BoxOrder(y_first < x_first, normalised)
    steps = np.diff(centres, axis=0)
    # The second one where boxes lie far from their places, but as far to one side as to the other.
    for first, second in (np.abs(steps).mean(axis=0), np.abs(np.median(steps, axis=0))):
        if max(first, second) > DECISIVE * min(first, second):
            return BoxOrder(bool(second > first), normalised)
    return None


def _up_to(model: onnx.ModelProto, tensor: str) -> onnx.ModelProto:
    """Return a copy whose only output is a tensor of the graph, as float32."""
    cut = onnx.ModelProto()
    cut.CopyFrom(model)
    name = f"{tensor}_as_float32"
    needed, kept = {tensor}, []
    for node in reversed(cut.graph.node):
        if not needed.isdisjoint(node.output):
            needed |= taken_by(node)
            kept.append(node)
    del cut.graph.node[:], cut.graph.output[:]
    cut.graph.node.extend(reversed(kept))
    cut.graph.node.append(helper.make_node("Cast", [tensor], [name], to=TensorProto.FLOAT))
    shape: list[str | int | None] = [None, None, None]
    cut.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    return cut
