"""A detector with the layout of a YOLOv8 head whose answers can be worked out by hand.

Every anchor is a cell of the stride's size; the scores of its three classes are the mean red, green
and blue of the pixels in it. A pure red square on black is thus a "red" of score 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LABELS = ("red", "green", "blue")
STRIDES = (8, 16, 32)


def tiny_detector(
    width: int = 64,
    height: int = 64,
    *,
    batch: int | str = "batch",
    dynamic_size: bool = False,
    opset: int = 17,
    element_type: int = TensorProto.FLOAT,
    metadata: dict[str, str] | None = None,
    insists_on_batch: bool = False,
) -> onnx.ModelProto:
    """Return the graph; ``images`` [N, 3, height, width] in, ``output0`` [N, 7, anchors] out.

    One that insists on its batch computes the shape of its input from it, which nobody opens.
    """
    dtype = helper.tensor_dtype_to_np_dtype(element_type)
    boxes = anchor_boxes(width, height)
    constants = {
        "boxes": boxes.T[None].astype(dtype),
        "nothing": np.array(0, dtype),
        "flat": np.array([0, 3, -1], np.int64),
        "first": np.array([0], np.int64),
        "second": np.array([1], np.int64),
        "class_axis": np.array([1], np.int64),
    }
    nodes = []
    for stride in STRIDES:
        nodes.append(
            helper.make_node(
                "AveragePool",
                ["images"],
                [f"pooled_{stride}"],
                kernel_shape=[stride, stride],
                strides=[stride, stride],
            )
        )
        nodes.append(helper.make_node("Reshape", [f"pooled_{stride}", "flat"], [f"rows_{stride}"]))
    nodes += [
        helper.make_node("Concat", [f"rows_{stride}" for stride in STRIDES], ["scores"], axis=2),
        # Repeats the boxes for each image of the batch.
        helper.make_node("Slice", ["scores", "first", "second", "class_axis"], ["red"]),
        helper.make_node("Mul", ["red", "nothing"], ["zero"]),
        helper.make_node("Add", ["zero", "boxes"], ["batch_of_boxes"]),
        helper.make_node("Concat", ["batch_of_boxes", "scores"], ["output0"], axis=1),
    ]
    if insists_on_batch:
        constants |= {"batch": np.array([batch], np.int64), "end": np.array([4], np.int64)}
        for node in nodes:
            node.input[:] = ["taken" if name == "images" else name for name in node.input]
        nodes = [
            helper.make_node("Shape", ["images"], ["shape"]),
            helper.make_node("Slice", ["shape", "second", "end"], ["of_image"]),
            helper.make_node("Concat", ["batch", "of_image"], ["told"], axis=0),
            helper.make_node("Reshape", ["images", "told"], ["taken"]),
            *nodes,
        ]
    size: list[int | str] = ["height", "width"] if dynamic_size else [height, width]
    anchors: int | str = "anchors" if dynamic_size else len(boxes)
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", element_type, [batch, 3, *size])],
        [helper.make_tensor_value_info("output0", element_type, [batch, 7, anchors])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    if metadata is None:
        metadata = own_metadata(LABELS, width, height)
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    return model


def own_metadata(names: Sequence[str], width: int = 64, height: int = 64) -> dict[str, str]:
    """Return what ultralytics would write into the file, for classes of these names."""
    return {
        "task": "detect",
        "stride": "32",
        "imgsz": f"[{height}, {width}]",
        "names": str(dict(enumerate(names))),
    }


def anchor_boxes(width: int, height: int) -> np.ndarray:
    """Return float64 [anchors, 4]: centre x, centre y, width, height of every cell."""
    cells = []
    for stride in STRIDES:
        rows, columns = np.mgrid[0 : height // stride, 0 : width // stride]
        centres = (np.stack([columns, rows], -1).reshape(-1, 2) + 0.5) * stride
        cells.append(np.concatenate([centres, np.full_like(centres, stride)], 1))
    return np.concatenate(cells)


def save_tiny_detector(path: Path, model: onnx.ModelProto | None = None) -> Path:
    onnx.save(model or tiny_detector(), path)
    return path


def coloured_square(
    colour: str, *, size: int = 64, left: int = 32, top: int = 0, side: int = 8
) -> np.ndarray:
    """Return a black BGR picture with one square; by default one anchor fits it exactly."""
    picture = np.zeros((size, size, 3), np.uint8)
    picture[top : top + side, left : left + side, 2 - LABELS.index(colour)] = 255
    return picture
