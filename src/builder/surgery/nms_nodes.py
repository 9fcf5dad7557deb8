"""Graphs that end in NMS: where their boxes and scores are before it, and with which thresholds.

Framewire cuts such a graph in front of its NMS and suppresses overlaps itself, with the thresholds
the graph has: so the same file runs where there is no TensorRT, and requests may choose others.
Attributes: TensorRT's README of ``efficientNMSPlugin`` and ``batchedNMSPlugin``; ONNX's
``NonMaxSuppression``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from builder.settings import NmsDefaults

EFFICIENT_NMS = "EfficientNMS_TRT"
BATCHED_NMS = frozenset({"BatchedNMS_TRT", "BatchedNMSDynamic_TRT"})
ONNX_NMS = "NonMaxSuppression"
# What one detection of a graph with finished rows for the whole batch holds: its image, four
# corners, class, score.
BATCH_ROW_COLUMNS = 7
EFFICIENT_OUTPUTS = ("num_dets", "det_boxes", "det_scores", "det_classes")
BATCHED_OUTPUTS = ("num_detections", "nmsed_boxes", "nmsed_scores", "nmsed_classes")


class UnreadableNmsError(ValueError):
    """An NMS whose input cannot be read; the message says what of it stands in the way."""


@dataclass(frozen=True)
class NmsNode:
    """The last NMS of a graph.

    Attributes:
        op_type: of the node.
        boxes: tensor ``[N, A, 4]``, or ``[N, A, 1, 4]`` for BatchedNMS.
        scores: tensor ``[N, A, classes]``; ``[N, classes, A]`` where ``classes_first``.
        classes_first: see there.
        corners: whether a box is given by two corners; else by centre and size.
        any_corners: whether these may be any two opposite ones, in either order.
        y_first: whether y stands before x; of ``any_corners`` the node does not say it.
        normalised: whether boxes lie in 0 to 1; likewise.
        sigmoid: whether the node makes probabilities of the scores itself.
        defaults: its thresholds.
    """

    op_type: str
    boxes: str
    scores: str
    classes_first: bool
    corners: bool
    y_first: bool
    normalised: bool
    sigmoid: bool
    defaults: NmsDefaults
    any_corners: bool = False


def find_nms_node(model: onnx.ModelProto) -> NmsNode | None:
    """Return the NMS whose result the graph returns, or None.

    Raises:
        UnreadableNmsError: its input is of a kind this cannot read.
    """
    returned = {value.name for value in model.graph.output}
    for node in reversed(model.graph.node):
        if node.op_type == EFFICIENT_NMS:
            return _efficient(node)
        if node.op_type in BATCHED_NMS:
            return _batched(node)
        if node.op_type == ONNX_NMS and _returns_indices(model, node, returned):
            return _onnx(model, node)
    return None


def _returns_indices(model: onnx.ModelProto, node: onnx.NodeProto, returned: set[str]) -> bool:
    # Casts and copies of the indices are still the indices.
    same = {node.output[0]}
    for other in model.graph.node:
        if other.op_type in {"Cast", "Identity"} and other.input[0] in same:
            same.add(other.output[0])
    return bool(same & returned)


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    # torch writes a plugin's numbers as lists of one.
    return {
        name: value[0] if isinstance(value, list) and len(value) == 1 else value
        for name, value in attributes.items()
    }


def _efficient(node: onnx.NodeProto) -> NmsNode:
    attributes = _attributes(node)
    if len(node.input) != 2:
        raise UnreadableNmsError("EfficientNMS_TRT decodes boxes from anchors itself")
    if int(attributes.get("background_class", -1)) >= 0:
        raise UnreadableNmsError("EfficientNMS_TRT has a background class")
    return NmsNode(
        op_type=node.op_type,
        boxes=node.input[0],
        scores=node.input[1],
        classes_first=False,
        corners=int(attributes.get("box_coding", 0)) == 0,
        y_first=False,
        normalised=False,
        sigmoid=bool(int(attributes.get("score_activation", 0))),
        defaults=NmsDefaults(
            conf=round(float(attributes.get("score_threshold", 0.25)), 6),
            iou=round(float(attributes.get("iou_threshold", 0.5)), 6),
            max_det=int(attributes.get("max_output_boxes", 100)),
            class_agnostic=bool(int(attributes.get("class_agnostic", 0))),
            multi_label=True,
        ),
    )


def _batched(node: onnx.NodeProto) -> NmsNode:
    attributes = _attributes(node)
    if not int(attributes.get("shareLocation", 1)):
        raise UnreadableNmsError(f"{node.op_type} has boxes of their own for each class")
    if int(attributes.get("backgroundLabelId", -1)) >= 0:
        raise UnreadableNmsError(f"{node.op_type} has a background class")
    return NmsNode(
        op_type=node.op_type,
        boxes=node.input[0],
        scores=node.input[1],
        classes_first=False,
        corners=True,
        y_first=False,
        normalised=bool(int(attributes.get("isNormalized", 1))),
        sigmoid=False,
        defaults=NmsDefaults(
            conf=round(float(attributes.get("scoreThreshold", 0.25)), 6),
            iou=round(float(attributes.get("iouThreshold", 0.5)), 6),
            max_det=int(attributes.get("keepTopK", 100)),
            class_agnostic=False,
            multi_label=True,
        ),
    )


def _onnx(model: onnx.ModelProto, node: onnx.NodeProto) -> NmsNode:
    constants = _constants(model)
    inputs = [*node.input, "", "", ""]
    boxes_per_class, iou, conf = (constants.get(name) for name in inputs[2:5])
    corners = not int(_attributes(node).get("center_point_box", 0))
    return NmsNode(
        op_type=node.op_type,
        boxes=node.input[0],
        scores=node.input[1],
        classes_first=True,
        corners=corners,
        any_corners=corners,
        # As its specification has it; exporters may do otherwise, and overlaps are the same.
        y_first=corners,
        normalised=False,
        sigmoid=False,
        defaults=NmsDefaults(
            conf=None if conf is None else round(min(max(float(conf), 0.0), 1.0), 6),
            iou=None if iou is None else round(float(iou), 6),
            max_det=_largest_count(boxes_per_class),
            class_agnostic=False,
            multi_label=True,
        ),
    )


def _largest_count(boxes_per_class: float | None) -> int | None:
    # It counts boxes of each class; exporters write huge numbers for "all".
    most = 3840
    if boxes_per_class is None or not 1 <= boxes_per_class <= most:
        return None
    return int(boxes_per_class)


def _constants(model: onnx.ModelProto) -> dict[str, float]:
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            value = _attributes(node).get("value")
            if isinstance(value, TensorProto):
                tensors[node.output[0]] = value
    return {
        name: float(np.asarray(numpy_helper.to_array(tensor)).reshape(-1)[0])
        for name, tensor in tensors.items()
        if sum(tensor.dims) <= 1 and numpy_helper.to_array(tensor).size == 1
    }
