"""The tiny detector with the outputs of every other head, so that answers can be worked out.

Each finds coloured squares as :mod:`tests.tiny_detector` does: the mean colour of a cell gives its
class scores, its box is the cell. ``LAYOUTS`` names them; a graph here is the layout of an
exporter whose package cannot be had, down to its attributes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.tiny_detector import LABELS, STRIDES, anchor_boxes, tiny_detector

# Of the three anchors of a cell: the same box and class scores, other objectness.
OBJECTNESS = (1.0, 0.75, 0.5)
# What the NMS nodes bring with them.
CONF, IOU, MAX_DET = 0.3, 0.6, 40
ROWS = 30
OPSET = 13


class Graph:
    """The tiny detector's graph, to which a layout is appended."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.model = tiny_detector(width=width, height=height, opset=OPSET, metadata={})
        self.anchors = len(anchor_boxes(width, height))
        self.rows = self.add("Transpose", [self.model.graph.output[0].name], perm=[0, 2, 1])
        self.centres = self.columns(self.rows, 0, 4)
        self.scores = self.columns(self.rows, 4, 7)

    def constant(self, value: object, dtype: type = np.float32) -> str:
        name = f"constant_{len(self.model.graph.initializer)}"
        self.model.graph.initializer.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def add(
        self, op_type: str, inputs: list[str], *, outputs: int = 1, domain: str = "", **more: Any
    ) -> str:
        """Append a node; its further outputs are called as the first with ``_1``, ``_2``, ..."""
        name = f"{op_type.lower()}_{len(self.model.graph.node)}"
        names = [name, *(f"{name}_{index}" for index in range(1, outputs))]
        node = helper.make_node(op_type, inputs, names, name=name, domain=domain, **more)
        self.model.graph.node.append(node)
        return name

    def columns(self, rows: str, start: int, end: int) -> str:
        return self.columns_of(rows, start, end, axis=2)

    def columns_of(self, rows: str, start: int, end: int, *, axis: int) -> str:
        bounds = [self.constant([bound], np.int64) for bound in (start, end, axis)]
        return self.add("Slice", [rows, *bounds])

    def corners(self) -> str:
        """Boxes ``[N, anchors, 4]`` as x1, y1, x2, y2."""
        half = self.add("Mul", [self.columns(self.centres, 2, 4), self.constant(0.5)])
        centre = self.columns(self.centres, 0, 2)
        columns = [self.add("Sub", [centre, half]), self.add("Add", [centre, half])]
        return self.add("Concat", columns, axis=2)

    def best(self) -> tuple[str, str]:
        """The best score of each anchor and its class as float, both ``[N, anchors, 1]``."""
        score = self.add("ReduceMax", [self.scores], axes=[2], keepdims=1)
        index = self.add("ArgMax", [self.scores], axis=2, keepdims=1)
        return score, self.add("Cast", [index], to=TensorProto.FLOAT)

    def returning(self, **outputs: tuple[str, int, list[int | str | None]]) -> onnx.ModelProto:
        """The model with these outputs: the tensor, its type and its dims for each name."""
        graph = self.model.graph
        del graph.output[:]
        for name, (tensor, element_type, dims) in outputs.items():
            graph.node.append(helper.make_node("Identity", [tensor], [name], name=name))
            graph.output.append(helper.make_tensor_value_info(name, element_type, dims))
        return self.model


def objectness(width: int, height: int) -> onnx.ModelProto:
    """YOLOv5 and YOLOv7: ``[N, 3 * cells, 5 + classes]``, three anchors for each cell."""
    graph = Graph(width, height)
    nothing = graph.add("Mul", [graph.columns(graph.scores, 0, 1), graph.constant(0)])
    copies = []
    for value in OBJECTNESS:
        column = graph.add("Add", [nothing, graph.constant(value)])
        copies.append(graph.add("Concat", [graph.centres, column, graph.scores], axis=2))
    rows = graph.add("Concat", copies, axis=1)
    dims = ["batch", 3 * graph.anchors, 8]
    return graph.returning(output=(rows, TensorProto.FLOAT, dims))


def grid(width: int, height: int) -> onnx.ModelProto:
    """YOLOX: ``[N, cells, 5 + classes]`` straight from convolutions; takes BGR from 0 to 255."""
    weights, nodes = [], []
    for stride in STRIDES:
        kernel = np.zeros((8, 3, stride, stride), np.float32)
        for colour in range(3):
            kernel[5 + colour, 2 - colour] = 1 / (255 * stride * stride)
        # The middle of the cell, the size of the cell, and always an object.
        bias = np.array([0.5, 0.5, 0, 0, 1, 0, 0, 0], np.float32)
        weights += [
            numpy_helper.from_array(kernel, f"kernel_{stride}"),
            numpy_helper.from_array(bias, f"bias_{stride}"),
        ]
        inputs = ["images", f"kernel_{stride}", f"bias_{stride}"]
        strides = [stride, stride]
        nodes += [
            helper.make_node("Conv", inputs, [f"cells_{stride}"], strides=strides),
            helper.make_node("Reshape", [f"cells_{stride}", "flat"], [f"flat_{stride}"]),
        ]
    weights.append(numpy_helper.from_array(np.array([0, 8, -1], np.int64), "flat"))
    nodes += [
        helper.make_node("Concat", [f"flat_{stride}" for stride in STRIDES], ["all"], axis=2),
        helper.make_node("Transpose", ["all"], ["output"], perm=[0, 2, 1]),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, height, width])
    cells = len(anchor_boxes(width, height))
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", cells, 8])
    made = helper.make_graph(nodes, "grid", [images], [output], weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)


def end_to_end(width: int, height: int) -> onnx.ModelProto:
    """YOLOv10 and YOLO26: the best ``[N, 30, 6]`` rows, picked by the graph."""
    graph = Graph(width, height)
    score, best_class = graph.best()
    rows = graph.add("Concat", [graph.corners(), score, best_class], axis=2)
    flat = graph.add("Squeeze", [score, graph.constant([2], np.int64)])
    top = graph.add("TopK", [flat, graph.constant([ROWS], np.int64)], outputs=2, axis=1)
    picked = graph.add("Unsqueeze", [f"{top}_1", graph.constant([2], np.int64)])
    chosen = graph.add("GatherND", [rows, picked], batch_dims=1)
    return graph.returning(output=(chosen, TensorProto.FLOAT, ["batch", ROWS, 6]))


def queries(width: int, height: int) -> onnx.ModelProto:
    """RT-DETR: ``[N, rows, 4 + classes]``, centre and size from 0 to 1 out of a sigmoid."""
    graph = Graph(width, height)
    share = graph.add("Div", [graph.centres, graph.constant([width, height, width, height])])
    rest = graph.add("Sub", [graph.constant(1), share])
    boxes = graph.add("Sigmoid", [graph.add("Log", [graph.add("Div", [share, rest])])])
    rows = graph.add("Concat", [boxes, graph.scores], axis=2)
    return graph.returning(output=(rows, TensorProto.FLOAT, ["batch", graph.anchors, 7]))


def efficient_nms(width: int, height: int) -> onnx.ModelProto:
    """YOLOv7 ``--end2end``: TensorRT's EfficientNMS plugin, which takes centres and sizes."""
    graph = Graph(width, height)
    node = graph.add(
        "EfficientNMS_TRT",
        [graph.centres, graph.scores],
        outputs=4,
        domain="TRT",
        # A tuple in the exporter of YOLOv7, which therefore writes a list.
        background_class=[-1],
        box_coding=1,
        iou_threshold=IOU,
        max_output_boxes=MAX_DET,
        plugin_version="1",
        score_activation=0,
        score_threshold=CONF,
    )
    graph.model.opset_import.append(helper.make_opsetid("TRT", 1))
    return graph.returning(
        num_dets=(node, TensorProto.INT32, ["batch", 1]),
        det_boxes=(f"{node}_1", TensorProto.FLOAT, ["batch", MAX_DET, 4]),
        det_scores=(f"{node}_2", TensorProto.FLOAT, ["batch", MAX_DET]),
        det_classes=(f"{node}_3", TensorProto.INT32, ["batch", MAX_DET]),
    )


def batched_nms(width: int, height: int) -> onnx.ModelProto:
    """TensorRT's older plugin, as converters of YOLOv4 to v6 write it: boxes ``[N, A, 1, 4]``."""
    graph = Graph(width, height)
    boxes = graph.add("Unsqueeze", [graph.corners(), graph.constant([2], np.int64)])
    node = graph.add(
        "BatchedNMSDynamic_TRT",
        [boxes, graph.scores],
        outputs=4,
        backgroundLabelId=-1,
        clipBoxes=0,
        iouThreshold=IOU,
        isNormalized=0,
        keepTopK=MAX_DET,
        numClasses=len(LABELS),
        plugin_version="1",
        scoreThreshold=CONF,
        shareLocation=1,
        topK=1000,
    )
    return graph.returning(
        num_detections=(node, TensorProto.INT32, ["batch", 1]),
        nmsed_boxes=(f"{node}_1", TensorProto.FLOAT, ["batch", MAX_DET, 4]),
        nmsed_scores=(f"{node}_2", TensorProto.FLOAT, ["batch", MAX_DET]),
        nmsed_classes=(f"{node}_3", TensorProto.FLOAT, ["batch", MAX_DET]),
    )


def selected_indices(width: int, height: int) -> onnx.ModelProto:
    """ONNX NonMaxSuppression: the indices ``[M, 3]`` it selects, beside its boxes and scores."""
    graph = Graph(width, height)
    scores = graph.add("Transpose", [graph.scores], perm=[0, 2, 1])
    inputs = [graph.centres, scores, graph.constant([MAX_DET], np.int64)]
    inputs += [graph.constant([IOU]), graph.constant([CONF])]
    node = graph.add("NonMaxSuppression", inputs, center_point_box=1)
    return graph.returning(
        selected_indices=(node, TensorProto.INT64, ["selected", 3]),
        all_boxes=(graph.centres, TensorProto.FLOAT, ["batch", graph.anchors, 4]),
        all_scores=(scores, TensorProto.FLOAT, ["batch", len(LABELS), graph.anchors]),
    )


def batch_rows(width: int, height: int) -> onnx.ModelProto:
    """YOLOv7 ``--end2end --max-wh``: rows ``[M, 7]`` of image, corners, class, score."""
    graph = Graph(width, height)
    corners = graph.corners()
    score, best_class = graph.best()
    # Boxes of different classes are moved apart, so that one class of NMS does for all.
    apart = graph.add("Mul", [best_class, graph.constant(640)])
    inputs = [
        graph.add("Add", [corners, apart]),
        graph.add("Transpose", [score], perm=[0, 2, 1]),
        graph.constant([MAX_DET], np.int64),
        graph.constant([IOU]),
        graph.constant([CONF]),
    ]
    selected = graph.add("NonMaxSuppression", inputs)
    image = graph.add("Gather", [selected, graph.constant([0], np.int64)], axis=1)
    both = graph.add("Gather", [selected, graph.constant([0, 2], np.int64)], axis=1)
    columns = [graph.add("Cast", [image], to=TensorProto.FLOAT)]
    columns += [graph.add("GatherND", [rows, both]) for rows in (corners, best_class, score)]
    rows = graph.add("Concat", columns, axis=1)
    return graph.returning(output=(rows, TensorProto.FLOAT, ["selected", 7]))


def table_of_rows(
    width: int, height: int, *, images: int = 1, more_columns: int = 0
) -> onnx.ModelProto:
    """Ultralytics with ``nms=True, dynamic=True``: rows written into a table of zeros.

    Any batch goes in, and a table for each image comes out; but NMS is there once for each image of
    the batch that was exported, and the tables of further ones stay empty. The shape of the output
    is open, and so it is to ONNX's inference.
    """
    graph = Graph(width, height)
    corners = graph.corners()
    score, best_class = graph.best()
    columns = [corners, score, best_class, *[score] * more_columns]
    rows = graph.add("Concat", columns, axis=2)
    shape = graph.add("Shape", [graph.model.graph.input[0].name])
    batch = graph.columns_of(shape, 0, 1, axis=0)
    # ONNX does not follow a Max of shapes.
    sizes = [graph.constant([MAX_DET, 6 + more_columns], np.int64) for _ in range(2)]
    table = graph.add(
        "ConstantOfShape",
        [graph.add("Concat", [batch, graph.add("Max", sizes)], axis=0)],
        value=helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]),
    )
    # An image that is not there counts as the last one that is.
    last = graph.add("Sub", [batch, graph.constant([1], np.int64)])
    for number in range(images):
        image = graph.add("Min", [graph.constant([number], np.int64), last])
        mine = graph.add("Gather", [rows, image], axis=0)
        inputs = [
            graph.columns(mine, 0, 4),
            graph.add("Transpose", [graph.columns(mine, 4, 5)], perm=[0, 2, 1]),
            graph.constant([MAX_DET], np.int64),
            graph.constant([IOU]),
            graph.constant([CONF]),
        ]
        selected = graph.add("NonMaxSuppression", inputs)
        places = graph.add("Gather", [selected, graph.constant(2, np.int64)], axis=1)
        found = graph.add("Gather", [mine, places], axis=1)
        count = graph.columns_of(graph.add("Shape", [found]), 1, 2, axis=0)
        missing = graph.add("Sub", [graph.constant([MAX_DET], np.int64), count])
        nothing = graph.constant([0], np.int64)
        pads = graph.add("Concat", [*[nothing] * 4, missing, nothing], axis=0)
        at = graph.add("Unsqueeze", [image, graph.constant([1], np.int64)])
        table = graph.add("ScatterND", [table, at, graph.add("Pad", [found, pads])])
    return graph.returning(output=(table, TensorProto.FLOAT, ["batch", "rows", "columns"]))


LAYOUTS: dict[str, Callable[[int, int], onnx.ModelProto]] = {
    "yolov5": objectness,
    "yolox": grid,
    "end2end": end_to_end,
    "queries": queries,
    "efficient_nms": efficient_nms,
    "batched_nms": batched_nms,
    "selected_indices": selected_indices,
    "batch_rows": batch_rows,
    "table_of_rows": table_of_rows,
}
"""Makers of the layouts by name; each takes the width and height of its input."""
