"""Which head an ONNX detector has, told from its outputs' shapes, its graph and its metadata."""

from __future__ import annotations

from dataclasses import dataclass, field

import onnx

from builder.detectors.graph_facts import (
    Dims,
    box_operator,
    dims_of,
    ends_in_top_k,
    output_dims,
    tensor_dims,
    uses_operator,
)
from builder.detectors.heads import (
    RTDETR_INPUT,
    YOLO_INPUT,
    YOLO_STRIDES,
    YOLOX_INPUT,
    Head,
    InputConvention,
    grid_cells,
    known_layouts,
)
from builder.errors import UnknownHeadError
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

MOST_CLASSES = 10_000
# Feature maps of the published variants: the usual three, with a P6 or P2 level, and of tiny ones.
STRIDE_SETS = (YOLO_STRIDES, (8, 16, 32, 64), (4, 8, 16, 32), (16, 32), (8, 16, 32, 64, 128))
ANCHORS_PER_CELL = (1, 3)
MOST_QUERIES = 1000
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
    """

    head: Head
    input: InputConvention
    classes: int | None
    boxes: int | None
    reason: str
    defaults: NmsDefaults = field(default_factory=NmsDefaults)
    finished: bool = False


@dataclass(frozen=True)
class _Evidence:
    model: onnx.ModelProto
    width: int
    height: int
    outputs: list[Dims]
    num_labels: int | None

    @property
    def names(self) -> set[str]:
        return {value.name for value in self.model.graph.output}

    def anchors(self, count: int | None) -> int | None:
        """Anchors per cell if so many boxes can be a grid's, else None."""
        for per_cell in ANCHORS_PER_CELL:
            grids = {per_cell * grid_cells(self.width, self.height, s) for s in STRIDE_SETS}
            if count in grids:
                return per_cell
        return None


def recognise(
    model: onnx.ModelProto,
    *,
    name: str,
    width: int,
    height: int,
    num_labels: int | None,
    head: Head | None = None,
) -> Recognition:
    """Tell a detector's head.

    Args:
        model: the detector.
        name: of its file, for the refusal.
        width: of its input, in pixels.
        height: of its input, in pixels.
        num_labels: how many classes have names, where known; decides between layouts that differ
            in nothing else.
        head: what the caller knows better; then only the sizes are read.

    Raises:
        UnknownHeadError: the layout is none of the known ones, or not that of ``head``.
    """
    if not model.graph.output:
        raise UnknownHeadError(f"{name} has no outputs: export it again")
    evidence = _Evidence(model, width, height, output_dims(model, width, height), num_labels)
    try:
        found = _by_shape(evidence) if head is None else _as_told(evidence, head)
    except UnreadableNmsError as error:
        raise UnknownHeadError(
            f"{name} ends in an NMS that Framewire cannot read ({error}): export it without NMS"
        ) from error
    if found is None or not _sizes_are_sane(found):
        told = "" if head is None else f" with --head {head.value}"
        raise UnknownHeadError(
            f"{name} has outputs {show_outputs(model)}, which is no layout Framewire knows{told} "
            f"({known_layouts()}): export a detector of one of these, or name its --head"
        )
    return found


def show_outputs(model: onnx.ModelProto) -> str:
    """Return names and shapes of the outputs for people."""
    shapes = (
        f"{value.name} [{', '.join('?' if size is None else str(size) for size in dims_of(value))}]"
        for value in model.graph.output
    )
    return ", ".join(shapes)


def _sizes_are_sane(found: Recognition) -> bool:
    return (found.classes is None or 0 < found.classes <= MOST_CLASSES) and (
        found.boxes is None or 0 < found.boxes < 2**31
    )


def _by_shape(evidence: _Evidence) -> Recognition | None:
    nms = _nms(evidence)
    if nms is not None or len(evidence.outputs[0]) != 3:
        return nms
    return _by_columns(evidence)


def _by_columns(evidence: _Evidence) -> Recognition | None:
    _, rows, columns = evidence.outputs[0]
    operator = box_operator(evidence.model)
    few_rows = rows is None or rows <= MOST_QUERIES
    if few_rows and operator == "Sigmoid":
        return _rtdetr(evidence)
    if few_rows and columns == 6 and (_has_chosen(evidence) or not evidence.anchors(rows)):
        return _end2end(evidence)
    if columns is not None and evidence.anchors(rows):
        return _yolox(evidence) if operator == "Conv" else _yolov5(evidence)
    if rows is None or columns is None or evidence.anchors(columns) or columns > rows:
        return _yolov8(evidence)
    return None


def _has_chosen(evidence: _Evidence) -> bool:
    """Whether the graph itself picks detections, as against giving every anchor."""
    return ends_in_top_k(evidence.model) or uses_operator(evidence.model, "NonMaxSuppression")


def _as_told(evidence: _Evidence, head: Head) -> Recognition | None:
    if head is Head.NMS:
        return _nms(evidence)
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


def _minus(size: int | None, other: int, otherwise: int | None) -> int | None:
    return otherwise if size is None else size - other


def _yolov8(evidence: _Evidence) -> Recognition | None:
    _, rows, columns = evidence.outputs[0]
    classes = _minus(rows, 4, evidence.num_labels)
    if classes is None:
        return None
    return Recognition(
        Head.YOLOV8,
        YOLO_INPUT,
        classes,
        columns or _fewest_anchors(evidence),
        f"one output of 4 + {classes} rows and a column for each anchor",
    )


def _fewest_anchors(evidence: _Evidence) -> int:
    # Nobody says how many; TopK must not ask for more than there are.
    return min(grid_cells(evidence.width, evidence.height, strides) for strides in STRIDE_SETS)


def _end2end(evidence: _Evidence) -> Recognition | None:
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


def _rtdetr(evidence: _Evidence) -> Recognition | None:
    _, rows, columns = evidence.outputs[0]
    if ends_in_top_k(evidence.model):
        if columns not in {6, None}:
            return None
        reason = "rows of boxes from 0 to 1, score and class"
        return Recognition(
            Head.RTDETR, RTDETR_INPUT, evidence.num_labels, rows, reason, finished=True
        )
    classes = _minus(columns, 4, evidence.num_labels)
    reason = "rows of boxes from 0 to 1 and class scores"
    boxes = rows or DEFAULT_ROWS
    return Recognition(Head.RTDETR, RTDETR_INPUT, classes, boxes, reason, finished=True)


def _yolov5(evidence: _Evidence) -> Recognition | None:
    _, rows, columns = evidence.outputs[0]
    classes = _minus(columns, 5, evidence.num_labels)
    if classes is None:
        return None
    # YOLOX exported with its grid decoded looks the same, but for the exp that decodes its sizes.
    one_anchor = evidence.anchors(rows) == 1
    is_yolox = one_anchor and uses_operator(evidence.model, "Exp")
    return Recognition(
        Head.YOLOV5,
        YOLOX_INPUT if is_yolox else YOLO_INPUT,
        classes,
        rows or _fewest_anchors(evidence),
        f"a row of 5 + {classes} columns for each anchor, boxes decoded"
        + (" with an exp, as YOLOX does it" if is_yolox else ""),
    )


def _yolox(evidence: _Evidence) -> Recognition | None:
    _, rows, columns = evidence.outputs[0]
    classes = _minus(columns, 5, evidence.num_labels)
    cells = grid_cells(evidence.width, evidence.height)
    if classes is None or rows not in {None, cells}:
        return None
    reason = f"a row of 5 + {classes} columns for each cell, straight from the last layer"
    return Recognition(Head.YOLOX, YOLOX_INPUT, classes, cells, reason)


def _nms(evidence: _Evidence) -> Recognition | None:
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


def _finished(evidence: _Evidence, rows: int, reason: str) -> Recognition:
    return Recognition(Head.NMS, YOLO_INPUT, evidence.num_labels, rows, reason, finished=True)


def _before_nms(evidence: _Evidence, node: NmsNode) -> Recognition:
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
        boxes or _fewest_anchors(evidence),
        f"the graph ends in {kind}; its boxes and scores are taken before it",
        node.defaults,
    )
