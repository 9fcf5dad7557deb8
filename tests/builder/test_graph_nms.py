"""NMS in the graph against NMS in Python."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from builder.surgery.graph_builder import GraphBuilder
from builder.surgery.graph_nms import suppress_overlaps
from nms import Thresholds, select_detections


@pytest.mark.parametrize("opset", [11, 13, 17, 18, 21])
@pytest.mark.parametrize("class_agnostic", [False, True])
def test_nms_in_the_graph_keeps_what_nms_in_python_keeps(opset: int, class_agnostic: bool) -> None:
    boxes = crowded_boxes()
    model = nms_model(boxes, opset, keep=30, iou=0.5, class_agnostic=class_agnostic)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    candidates = session.run(None, {"in": boxes})[0]
    for rows, found in zip(boxes, candidates, strict=True):
        thresholds = Thresholds(0.0, 0.5, 30, class_agnostic=class_agnostic)
        expected = select_detections(rows, thresholds)
        assert 5 < len(expected) <= 30
        np.testing.assert_array_equal(found[: len(expected)], expected)
        assert not found[len(expected) :, 4].any()


def test_boxes_without_an_area_suppress_nothing() -> None:
    # Far from zero, where the classes' offsets take them, boxes this thin have no area in float32.
    rows = crowded_boxes(images=1, count=20)
    rows[:, ::2, 2] = rows[:, ::2, 0] + np.float32(1e-4)
    rows[..., 5] += 50
    core = openvino.Core()
    model = nms_model(rows, 17, keep=20, iou=0.7, class_agnostic=False)
    compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU")
    expected = select_detections(rows[0], Thresholds(0.0, 0.7, 20))
    assert len(expected) > 10
    np.testing.assert_array_equal(compiled([rows])[0][0][: len(expected)], expected)


def crowded_boxes(images: int = 4, count: int = 100) -> NDArray[np.float32]:
    """Float32 [images, count, 6], best first: many overlaps, chains of them too."""
    random = np.random.default_rng(1)
    corners = random.uniform(0, 100, (images, count, 2))
    sizes = random.uniform(20, 60, (images, count, 2))
    scores = -np.sort(-random.uniform(0.1, 1, (images, count, 1)), axis=1)
    classes = random.integers(0, 2, (images, count, 1))
    return np.concatenate([corners, corners + sizes, scores, classes], 2).astype(np.float32)


def nms_model(
    rows: NDArray[np.float32], opset: int, *, keep: int, iou: float, class_agnostic: bool
) -> onnx.ModelProto:
    value = helper.make_tensor_value_info("in", TensorProto.FLOAT, ["n", rows.shape[1], 6])
    result = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", keep, 6])
    graph = helper.make_graph([], "nms", [value], [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    found = suppress_overlaps(
        GraphBuilder(model, "nms"),
        "in",
        count=rows.shape[1],
        keep=keep,
        iou=iou,
        class_agnostic=class_agnostic,
    )
    model.graph.node.append(helper.make_node("Identity", [found], ["out"]))
    onnx.checker.check_model(model)
    return model


BROKEN = (np.nan, np.inf, -np.inf)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("opset", [11, 17, 21])
@pytest.mark.parametrize("value", BROKEN)
@pytest.mark.parametrize("column", [0, 3, 4])
def test_what_is_not_finite_takes_no_place_and_suppresses_nothing(
    runtime: str, opset: int, value: float, column: int
) -> None:
    rows = crowded_boxes(images=2, count=60)
    rows[..., 5] = 0
    broken = rows.copy()
    # The best one, which overlaps many, and some in the midst of the others.
    for index in (0, 1, 7, 30):
        broken[:, index, column] = value
    whole = np.delete(rows, (0, 1, 7, 30), axis=1)
    model = nms_model(broken, opset, keep=20, iou=0.3, class_agnostic=True)
    for image, found in enumerate(run(runtime, model, broken)):
        expected = select_detections(whole[image], Thresholds(0.0, 0.3, 20, class_agnostic=True))
        assert len(expected) > 5
        np.testing.assert_array_equal(found[: len(expected)], expected)
        assert not found[len(expected) :, 4].any()


def run(runtime: str, model: onnx.ModelProto, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    if runtime == "onnxruntime":
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        return session.run(None, {"in": rows})[0]
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU")
    return np.array(compiled([rows])[0])
