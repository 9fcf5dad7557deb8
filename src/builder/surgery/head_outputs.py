"""Each head's raw output read inside the graph: boxes in pixels and scores, or finished rows.

One function to a layout. Every one appends nodes and leaves the old outputs to be removed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from numpy.typing import NDArray

from builder.detectors.graph_facts import ends_in_top_k
from builder.detectors.heads import YOLO_STRIDES, Head
from builder.surgery.boxes import GraphBoxes, GraphRows
from builder.surgery.candidates import corners_of
from builder.surgery.graph_builder import GraphBuilder
from builder.surgery.nms_nodes import (
    BATCH_ROW_COLUMNS,
    BATCHED_NMS,
    BATCHED_OUTPUTS,
    EFFICIENT_OUTPUTS,
    NmsNode,
)

HeadBoxes = GraphBoxes | GraphRows


def read_head(
    build: GraphBuilder,
    model: onnx.ModelProto,
    head: Head,
    *,
    classes: int,
    count: int | None,
    width: int,
    height: int,
    nms: NmsNode | None = None,
) -> HeadBoxes:
    """Append what reads the head's output.

    Args:
        build: of the model's graph.
        model: with the outputs it came with.
        head: how they are laid out.
        classes: of the detector.
        count: boxes for each image, where known.
        width: of the input, in pixels.
        height: of the input, in pixels.
        nms: what the graph ends in, where it ends in NMS.
    """
    readers: dict[Head, Callable[[], HeadBoxes]] = {
        Head.YOLOV8: lambda: _yolov8(build, _first(build, model), classes, count or 0),
        Head.END2END: lambda: GraphRows(_first(build, model), count),
        Head.RTDETR: lambda: _rtdetr(build, model, classes, count, (width, height)),
        Head.YOLOV5: lambda: _yolov5(build, _first(build, model), classes, count or 0),
        Head.YOLOX: lambda: _yolox(build, _first(build, model), classes, (width, height)),
        Head.NMS: lambda: (
            _before_nms(build, nms, classes, count, (width, height))
            if nms is not None
            else _finished(build, model, count)
        ),
    }
    return readers[head]()


def _first(build: GraphBuilder, model: onnx.ModelProto) -> str:
    return build.float32(model.graph.output[0].name, "raw")


def _yolov8(build: GraphBuilder, raw: str, classes: int, count: int) -> GraphBoxes:
    rows = build.node("Transpose", [raw], "by_anchor", perm=[0, 2, 1])
    return GraphBoxes(
        boxes=build.slice(rows, "raw_boxes", 0, 4),
        scores=build.slice(rows, "raw_scores", 4, 4 + classes),
        classes=classes,
        count=count,
        corners=False,
    )


def _yolov5(build: GraphBuilder, raw: str, classes: int, count: int) -> GraphBoxes:
    return GraphBoxes(
        boxes=build.slice(raw, "raw_boxes", 0, 4),
        scores=_with_objectness(build, raw, classes),
        classes=classes,
        count=count,
        corners=False,
    )


def _with_objectness(build: GraphBuilder, raw: str, classes: int) -> str:
    objectness = build.slice(raw, "objectness", 4, 5)
    class_scores = build.slice(raw, "class_scores", 5, 5 + classes)
    return build.node("Mul", [objectness, class_scores], "raw_scores")


def _yolox(build: GraphBuilder, raw: str, classes: int, size: tuple[int, int]) -> GraphBoxes:
    # (offset + cell) * stride and exp(logarithm) * stride, as YOLOX' demo_postprocess has it.
    cells, strides = _grid(*size)
    cell, stride = build.constant("cells", cells), build.constant("strides", strides)
    offset = build.slice(raw, "offset", 0, 2)
    logarithm = build.slice(raw, "logarithm", 2, 4)
    shifted = build.node("Add", [offset, cell], "shifted")
    centre = build.node("Mul", [shifted, stride], "raw_centre")
    size_in_cells = build.node("Exp", [logarithm], "size_in_cells")
    box_size = build.node("Mul", [size_in_cells, stride], "raw_size")
    return GraphBoxes(
        boxes=build.node("Concat", [centre, box_size], "raw_boxes", axis=2),
        scores=_with_objectness(build, raw, classes),
        classes=classes,
        count=cells.shape[1],
        corners=False,
    )


def _grid(width: int, height: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    cells, strides = [], []
    for stride in YOLO_STRIDES:
        rows, columns = np.mgrid[0 : height // stride, 0 : width // stride]
        cells.append(np.stack([columns, rows], -1).reshape(-1, 2))
        strides.append(np.full((cells[-1].shape[0], 1), stride))
    return (
        np.concatenate(cells)[None].astype(np.float32),
        np.concatenate(strides)[None].astype(np.float32),
    )


def _rtdetr(
    build: GraphBuilder,
    model: onnx.ModelProto,
    classes: int,
    count: int | None,
    size: tuple[int, int],
) -> HeadBoxes:
    raw = _first(build, model)
    boxes = _pixels(build, build.slice(raw, "fractions", 0, 4), size)
    if ends_in_top_k(model):
        rest = build.slice(raw, "score_and_class", 4, 6)
        corners = corners_of(build, boxes)
        return GraphRows(build.node("Concat", [corners, rest], "raw_rows", axis=2), count)
    return GraphBoxes(
        boxes=boxes,
        scores=build.slice(raw, "raw_scores", 4, 4 + classes),
        classes=classes,
        count=count or 0,
        corners=False,
    )


def _pixels(build: GraphBuilder, fractions: str, size: tuple[int, int]) -> str:
    width, height = size
    extent = build.constant("extent", np.array([width, height, width, height], np.float32))
    return build.node("Mul", [fractions, extent], "raw_boxes")


def _finished(build: GraphBuilder, model: onnx.ModelProto, count: int | None) -> GraphRows:
    rows = _rows_of_batch if len(model.graph.output) == 1 else _rows_of_tensors
    return GraphRows(rows(build, model, count or 0), count)


def _before_nms(
    build: GraphBuilder, node: NmsNode, classes: int, count: int | None, size: tuple[int, int]
) -> GraphBoxes:
    boxes = build.float32(node.boxes, "nms_boxes")
    scores = build.float32(node.scores, "nms_scores")
    if node.op_type in BATCHED_NMS:
        # [N, A, 1, 4]: one box for all classes.
        boxes = build.node(
            "Reshape", [boxes, build.constant("flat", [0, -1, 4])], "boxes_by_anchor"
        )
    if node.classes_first:
        scores = build.node("Transpose", [scores], "scores_by_box", perm=[0, 2, 1])
    if node.sigmoid:
        scores = build.node("Sigmoid", [scores], "probabilities")
    if node.y_first:
        order = build.constant("x_first", [1, 0, 3, 2])
        boxes = build.node("Gather", [boxes, order], "boxes_x_first", axis=2)
    if node.any_corners:
        one, other = (
            build.slice(boxes, "one_corner", 0, 2),
            build.slice(boxes, "other_corner", 2, 4),
        )
        ends = [
            build.node("Min", [one, other], "top_left"),
            build.node("Max", [one, other], "bottom_right"),
        ]
        boxes = build.node("Concat", ends, "ordered_corners", axis=2)
    if node.normalised:
        boxes = _pixels(build, boxes, size)
    return GraphBoxes(boxes, scores, classes, count or 0, node.corners)


def _rows_of_batch(build: GraphBuilder, model: onnx.ModelProto, count: int) -> str:
    """``[M, 7]`` rows of a whole batch (image, corners, class, score) to ``[N, count, 6]``."""
    raw = build.float32(model.graph.output[0].name, "raw")
    padding = build.constant("no_rows", np.zeros((count, BATCH_ROW_COLUMNS), np.float32))
    rows = build.node("Concat", [raw, padding], "padded", axis=0)
    image = build.slice(rows, "image_of_row", 0, 1, axis=1)
    score = build.slice(rows, "score_of_row", 6, 7, axis=1)
    # One row of scores to an image, zero where the detection is another image's.
    images = _image_numbers(build, model)
    image_row = build.node("Transpose", [image], "image_row", perm=[1, 0])
    score_row = build.node("Transpose", [score], "score_row", perm=[1, 0])
    difference = build.node("Sub", [images, image_row], "difference")
    distance = build.node("Abs", [difference], "distance")
    mine = build.node("Less", [distance, build.scalar("half_image", 0.5)], "mine")
    scores = build.node("Where", [mine, score_row, build.scalar("no_score", 0)], "scores_by_image")
    values, places = build.top_k(scores, count, "of_image")
    picked = build.node("Gather", [rows, places], "picked_rows", axis=0)
    columns = [
        build.slice(picked, "row_boxes", 1, 5),
        build.unsqueeze(values, "row_scores", -1),
        build.slice(picked, "row_class", 5, 6),
    ]
    return build.node("Concat", columns, "raw_rows", axis=2)


def _image_numbers(build: GraphBuilder, model: onnx.ModelProto) -> str:
    """0, 1, ... as float32 ``[N, 1]``."""
    weights = {tensor.name for tensor in model.graph.initializer}
    frames = next(value.name for value in model.graph.input if value.name not in weights)
    batch = build.slice(build.node("Shape", [frames], "input_shape"), "batch_size", 0, 1, axis=0)
    size = build.squeeze(batch, "batch_scalar", 0)
    numbers = build.node(
        "Range", [build.constant("from", 0), size, build.constant("step", 1)], "image_numbers"
    )
    return build.unsqueeze(build.float32(numbers, "image_floats"), "image_column", 1)


def _rows_of_tensors(build: GraphBuilder, model: onnx.ModelProto, count: int) -> str:
    """num_dets, det_boxes, det_scores and det_classes to rows; those past num_dets score 0."""
    outputs = {value.name for value in model.graph.output}
    names = EFFICIENT_OUTPUTS if set(EFFICIENT_OUTPUTS) <= outputs else BATCHED_OUTPUTS
    number, boxes, scores, classes = (build.float32(name, f"raw_{name}") for name in names)
    row_numbers = build.constant("row_numbers", np.arange(count, dtype=np.float32)[None])
    inside = build.node("Less", [row_numbers, number], "inside")
    kept = build.node("Where", [inside, scores, build.scalar("no_score", 0)], "kept_scores")
    columns = [
        boxes,
        build.unsqueeze(kept, "row_scores", -1),
        build.unsqueeze(classes, "row_classes", -1),
    ]
    return build.node("Concat", columns, "raw_rows", axis=2)
