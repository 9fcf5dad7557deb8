"""Graphs that end in NMS: what goes into it, or what comes out of it.

TensorRT's plugins run in TensorRT only, and every NMS node has its own thresholds inside. Cutting
the node off gives boxes and scores to which the thresholds of any request can be applied. Where
other nodes follow an NMS, its result is taken as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from builder.errors import VerificationError
from builder.verification.head_reading import RawBoxes, corners, one_hot

EFFICIENT_NMS = "EfficientNMS_TRT"
BATCHED_NMS = ("BatchedNMSDynamic_TRT", "BatchedNMS_TRT")
ONNX_NMS = "NonMaxSuppression"
# How the plugins' four outputs are called, by whoever makes them: count, boxes, scores, classes.
OUTPUT_NAMES = (
    ("num_dets", "det_boxes", "det_scores", "det_classes"),
    ("num_detections", "nmsed_boxes", "nmsed_scores", "nmsed_classes"),
)


@dataclass(frozen=True)
class NmsInputs:
    """The graph up to its NMS node.

    Attributes:
        model: a copy whose two outputs are what the node takes: boxes, then scores.
        node: the node that was cut off.
    """

    model: onnx.ModelProto
    node: onnx.NodeProto

    def read(
        self, boxes: NDArray[np.generic], scores: NDArray[np.generic], *, width: int, height: int
    ) -> RawBoxes:
        """Return the boxes and class scores of the first image.

        * The plugins take scores ``[N, A, classes]``; boxes are corners, or with ``box_coding`` 1
          centre and size (EfficientNMS). BatchedNMS' have an axis for the class, and with
          ``isNormalized`` lie in 0 to 1.
        * NonMaxSuppression takes scores ``[N, classes, A]``; boxes are two opposite corners, or
          with ``center_point_box`` 1 centre and size, x first. Corners have y first as ONNX says,
          unless they are seen to lie the other way round (:func:`_has_x_first`); where none is
          larger than 2, they lie in 0 to 1.

        Args:
            boxes: the first output.
            scores: the second one.
            width: of the network's input, pixels.
            height: likewise.
        """
        given = {each.name: _number(each) for each in self.node.attribute}
        rows, table = boxes[0].astype(np.float32), scores[0].astype(np.float32)
        rows = rows.reshape(len(rows), 4)
        if self.node.op_type == ONNX_NMS:
            table = table.T
            centred = given.get("center_point_box", 0)
            if not centred:
                share = np.abs(rows).max(initial=0) <= 2
                if not _has_x_first(rows):
                    rows = rows[:, [1, 0, 3, 2]]
                if share:
                    rows = rows * np.array([width, height, width, height], np.float32)
                one, other = rows[:, :2], rows[:, 2:]
                rows = np.concatenate([np.minimum(one, other), np.maximum(one, other)], 1)
        else:
            centred = given.get("box_coding", 0)
        if given.get("score_activation", 0):
            table = 1 / (1 + np.exp(-table))
        if self.node.op_type in BATCHED_NMS and given.get("isNormalized", 1):
            rows = rows * np.array([width, height, width, height], np.float32)
        return RawBoxes(corners(rows) if centred else rows, table)


def _has_x_first(rows: NDArray[np.float32]) -> bool:
    """Return whether boxes are numbered as a grid is read whose x stands first.

    Grids are read row by row: x goes back to the left edge again and again while y grows slowly.
    """
    if len(rows) < 16:
        return False
    steps = np.abs(np.diff(rows[:, :2] + rows[:, 2:], axis=0)).sum(0)
    return bool(steps[0] > 1.5 * steps[1])


def _number(attribute: onnx.AttributeProto) -> Any:
    # Exporters write a plugin's numbers as lists of one.
    value = helper.get_attribute_value(attribute)
    return value[0] if isinstance(value, (list, tuple)) and value else value


def cut_before_nms(model: onnx.ModelProto) -> NmsInputs | None:
    """Return the graph up to the NMS node it ends in; ``model`` is unchanged.

    Returns:
        None when no NMS node's result leaves the graph as it is.
    """
    node = _last_nms(model.graph)
    if node is None:
        return None
    cut = onnx.ModelProto()
    cut.CopyFrom(model)
    wanted = list(node.input[:2])
    _keep_what_gives(cut.graph, set(wanted))
    del cut.graph.output[:]
    for name in wanted:
        # Without type and shape: ONNX Runtime infers them.
        cut.graph.output.append(onnx.ValueInfoProto(name=name))
    return NmsInputs(cut, node)


def read_finished(
    outputs: Mapping[str, NDArray[np.generic]], *, num_classes: int, file_name: str
) -> RawBoxes:
    """Return the detections of the first image of a graph that does all of its NMS itself.

    Either the four tensors of a plugin by their usual names, or rows of the whole batch
    ``[M, 7]``: image, x1, y1, x2, y2, class, score, as YOLOv7 exports them.

    Args:
        outputs: of the graph, by name, with the batch dimension.
        num_classes: of the detector.
        file_name: for the refusal.

    Raises:
        VerificationError: the outputs are neither.
    """
    for names in OUTPUT_NAMES:
        if set(names) <= outputs.keys():
            number, boxes, scores, classes = (
                np.asarray(outputs[name])[0].astype(np.float32) for name in names
            )
            count = int(number.reshape(-1)[0])
            table = one_hot(scores[:count], classes[:count], num_classes)
            return RawBoxes(boxes[:count], table, finished=True)
    rows = next(iter(outputs.values())).astype(np.float32)
    if rows.ndim != 2 or rows.shape[1] != 7:
        shown = ", ".join(f"{name} {list(value.shape)}" for name, value in outputs.items())
        raise VerificationError(
            f"the reference cannot read the outputs of {file_name} ({shown}): export the detector "
            "without NMS to verify it"
        )
    rows = rows[rows[:, 0] == 0]
    return RawBoxes(rows[:, 1:5], one_hot(rows[:, 6], rows[:, 5], num_classes), finished=True)


def _last_nms(graph: onnx.GraphProto) -> onnx.NodeProto | None:
    leaving = {value.name for value in graph.output}
    node: onnx.NodeProto
    for node in reversed(graph.node):
        if node.op_type in {"Cast", "Identity"} and leaving.intersection(node.output):
            leaving.update(node.input)
        if node.op_type in {EFFICIENT_NMS, *BATCHED_NMS}:
            return node
        if node.op_type == ONNX_NMS and leaving.intersection(node.output):
            return node
    return None


def _keep_what_gives(graph: onnx.GraphProto, wanted: set[str]) -> None:
    """Drop every node that ``wanted`` does not need."""
    kept = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted |= set(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))
