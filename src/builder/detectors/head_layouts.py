"""Outputs read as those of a head: one function to a layout."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from builder.detectors.graph_facts import ends_in_top_k, tensor_dims, uses_operator
from builder.detectors.head_evidence import Evidence, measured
from builder.detectors.heads import (
    RTDETR_INPUT,
    YOLO_INPUT,
    YOLOX_INPUT,
    Head,
    InputConvention,
    grid_cells,
)
from builder.settings import NmsDefaults
from builder.surgery.nms_nodes import (
    BATCH_ROW_COLUMNS,
    BATCHED_NMS,
    BATCHED_OUTPUTS,
    EFFICIENT_OUTPUTS,
    NmsNode,
    UnreadableNmsError,
    find_nms_node,
)
from builder.trial.nms_boxes import nms_box_order

# Rows an NMS-free head gives where its graph does not say: ultralytics' max_det.
DEFAULT_ROWS = 300


@dataclass(frozen=True)
class Recognition:
    """What an output layout was found to be.

    Attributes:
        head: the family.
        input: what networks of this family are trained to see.
        classes: how many, or None where the outputs do not show it.
        boxes: the graph gives for each image, or None where nobody can tell; anchors or rows.
        reason: what gave it away, in words.
        defaults: thresholds the graph brings with it.
        finished: whether overlaps are suppressed already.
        nms: what the graph ends in, where boxes and scores are taken before it.
    """

    head: Head
    input: InputConvention
    classes: int | None
    boxes: int | None
    reason: str
    defaults: NmsDefaults = field(default_factory=NmsDefaults)
    finished: bool = False
    nms: NmsNode | None = None


def read_as(evidence: Evidence, head: Head) -> Recognition | None:
    """Return what the outputs are when they are of a head; None when they cannot be.

    Raises:
        UnreadableNmsError: the graph ends in an NMS that cannot be read.
    """
    if head is Head.NMS:
        return read_nms(evidence)
    evidence = measured(evidence)
    if len(evidence.outputs[0]) != 3:
        return None
    readers = {
        Head.YOLOV8: _yolov8,
        Head.END2END: _end2end,
        Head.RTDETR: _rtdetr,
        Head.YOLOV5: _yolov5,
        Head.YOLOX: _yolox,
    }
    return readers[head](evidence)


def less(size: int | None, other: int, otherwise: int | None) -> int | None:
    """Return a difference, or what holds where the size is not known."""
    return otherwise if size is None else size - other


def _yolov8(evidence: Evidence) -> Recognition | None:
    _, rows, columns = evidence.outputs[0]
    classes = less(rows, 4, evidence.num_labels)
    if classes is None:
        return None
    return Recognition(
        Head.YOLOV8,
        YOLO_INPUT,
        classes,
        columns or evidence.fewest_anchors,
        f"one output of 4 + {classes} rows and a column for each anchor",
    )


def _end2end(evidence: Evidence) -> Recognition | None:
    _, rows, columns = evidence.outputs[0]
    if columns not in {6, None}:
        return None
    return Recognition(
        Head.END2END,
        YOLO_INPUT,
        evidence.num_labels,
        rows,
        "one output whose rows have 6 columns: corners, score, class",
        finished=True,
    )


def _rtdetr(evidence: Evidence) -> Recognition | None:
    _, rows, columns = evidence.outputs[0]
    if ends_in_top_k(evidence.model):
        if columns not in {6, None}:
            return None
        reason = "rows of boxes from 0 to 1, score and class"
        return Recognition(
            Head.RTDETR, RTDETR_INPUT, evidence.num_labels, rows, reason, finished=True
        )
    classes = less(columns, 4, evidence.num_labels)
    reason = "rows of boxes from 0 to 1 and class scores"
    boxes = rows or DEFAULT_ROWS
    return Recognition(Head.RTDETR, RTDETR_INPUT, classes, boxes, reason, finished=True)


def _yolov5(evidence: Evidence) -> Recognition | None:
    _, rows, columns = evidence.outputs[0]
    classes = less(columns, 5, evidence.num_labels)
    if classes is None:
        return None
    # YOLOX exported with its grid decoded looks the same, but for the exp that decodes its sizes.
    one_anchor = evidence.anchors(rows) == 1
    is_yolox = one_anchor and uses_operator(evidence.model, "Exp")
    return Recognition(
        Head.YOLOV5,
        YOLOX_INPUT if is_yolox else YOLO_INPUT,
        classes,
        rows or evidence.fewest_anchors,
        f"a row of 5 + {classes} columns for each anchor, boxes decoded"
        + (" with an exp, as YOLOX does it" if is_yolox else ""),
    )


def _yolox(evidence: Evidence) -> Recognition | None:
    _, rows, columns = evidence.outputs[0]
    classes = less(columns, 5, evidence.num_labels)
    cells = grid_cells(evidence.width, evidence.height)
    if classes is None or rows not in {None, cells}:
        return None
    reason = f"a row of 5 + {classes} columns for each cell, straight from the last layer"
    return Recognition(Head.YOLOX, YOLOX_INPUT, classes, cells, reason)


def read_nms(evidence: Evidence) -> Recognition | None:
    """Return what a graph is that ends in NMS; None where it does not.

    Raises:
        UnreadableNmsError: it cannot be read.
    """
    node = find_nms_node(evidence.model)
    if node is not None:
        return _before_nms(evidence, node)
    for names in (EFFICIENT_OUTPUTS, BATCHED_OUTPUTS):
        if set(names) <= evidence.names:
            place = [value.name for value in evidence.model.graph.output].index(names[1])
            boxes = evidence.outputs[place]
            rows = boxes[1] if len(boxes) == 3 else None
            if rows is None:
                return None
            reason = f"outputs named as those of a TensorRT NMS ({', '.join(names)})"
            return _finished(evidence, rows, reason)
    columns = evidence.outputs[0][-1] if len(evidence.outputs[0]) == 2 else None
    if columns == BATCH_ROW_COLUMNS and uses_operator(evidence.model, "NonMaxSuppression"):
        return _finished(evidence, DEFAULT_ROWS, "rows of 7: image, corners, class, score")
    return None


def _finished(evidence: Evidence, rows: int, reason: str) -> Recognition:
    return Recognition(Head.NMS, YOLO_INPUT, evidence.num_labels, rows, reason, finished=True)


def _before_nms(evidence: Evidence, node: NmsNode) -> Recognition:
    reason = ""
    if node.any_corners:
        node, reason = _with_order(evidence, node)
    scores = tensor_dims(evidence.model, evidence.width, evidence.height, node.scores)
    classes = boxes = None
    if len(scores) == 3:
        boxes, classes = (scores[2], scores[1]) if node.classes_first else (scores[1], scores[2])
    if classes is None:
        classes = evidence.num_labels
    kind = "BatchedNMS" if node.op_type in BATCHED_NMS else node.op_type
    return Recognition(
        Head.NMS,
        YOLO_INPUT,
        classes,
        boxes or evidence.fewest_anchors,
        f"the graph ends in {kind}; its boxes{reason} and scores are taken before it",
        node.defaults,
        nms=node,
    )


def _with_order(evidence: Evidence, node: NmsNode) -> tuple[NmsNode, str]:
    order = nms_box_order(evidence.model, node.boxes, evidence.width, evidence.height)
    if order is None:
        raise UnreadableNmsError("which of x and y comes first in its boxes does not show in a run")
    axis = "y" if order.y_first else "x"
    unit = ", shares of the frame" if order.normalised else ""
    return (
        replace(node, y_first=order.y_first, normalised=order.normalised),
        f" ({axis} first{unit}, as a run shows)",
    )
