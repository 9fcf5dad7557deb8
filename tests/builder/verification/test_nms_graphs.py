"""Graphs that end in NMS: the boxes and scores before it, or the detections after it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from builder.errors import VerificationError
from builder.verification.head_reading import RawBoxes
from builder.verification.nms_graphs import cut_before_nms, read_finished

BOXES = np.array([[10, 20, 30, 60], [0, 4, 8, 20]], np.float32)
Y_FIRST = BOXES[:, [1, 0, 3, 2]]
CENTRED = np.array([[20, 40, 20, 40], [4, 12, 8, 16]], np.float32)
SCORES = np.array([[0.9, 0.1, 0.2], [0.3, 0.8, 0.4]], np.float32)
WIDTH, HEIGHT = 64, 128


def graph(
    op_type: str, boxes: np.ndarray, scores: np.ndarray, *, outputs: int = 4, **attributes: Any
) -> onnx.ModelProto:
    """A graph whose NMS takes constants, a node before it and one that nothing needs."""
    results = [f"result_{index}" for index in range(outputs)]
    nodes = [
        helper.make_node("Identity", ["boxes"], ["nms_boxes"]),
        helper.make_node("Identity", ["scores"], ["nms_scores"]),
        helper.make_node(op_type, ["nms_boxes", "nms_scores"], results, **attributes),
        helper.make_node("Identity", [results[0]], ["copy"]),
    ]
    values = [helper.make_tensor_value_info("copy", TensorProto.INT64, None)]
    values += [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in results[1:]]
    weights = [
        numpy_helper.from_array(boxes[None], "boxes"),
        numpy_helper.from_array(scores[None], "scores"),
    ]
    made = helper.make_graph(nodes, "ends_in_nms", [], values, weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def read(model: onnx.ModelProto) -> RawBoxes:
    before = model.SerializeToString()
    inputs = cut_before_nms(model)
    assert inputs is not None
    assert model.SerializeToString() == before
    session = onnxruntime.InferenceSession(inputs.model.SerializeToString())
    return inputs.read(*session.run(None, {}), width=WIDTH, height=HEIGHT)


SHARES = BOXES / np.array([WIDTH, HEIGHT, WIDTH, HEIGHT], np.float32)
LOGITS = np.log(SCORES / (1 - SCORES))
MIXED_CORNERS = Y_FIRST[:, [2, 1, 0, 3]]
GRAPHS = {
    "EfficientNMS": graph("EfficientNMS_TRT", BOXES, SCORES),
    "EfficientNMS, centred": graph("EfficientNMS_TRT", CENTRED, SCORES, box_coding=1),
    "EfficientNMS, logits": graph("EfficientNMS_TRT", BOXES, LOGITS, score_activation=1),
    "EfficientNMS, lists": graph("EfficientNMS_TRT", BOXES, SCORES, box_coding=[0]),
    "BatchedNMS": graph("BatchedNMSDynamic_TRT", BOXES[:, None], SCORES, isNormalized=0),
    "BatchedNMS, shares": graph("BatchedNMS_TRT", SHARES[:, None], SCORES, isNormalized=1),
    "NonMaxSuppression": graph("NonMaxSuppression", Y_FIRST, SCORES.T, outputs=1),
    "NonMaxSuppression, any corners": graph(
        "NonMaxSuppression", MIXED_CORNERS, SCORES.T, outputs=1
    ),
    "NonMaxSuppression, centred": graph(
        "NonMaxSuppression", CENTRED, SCORES.T, outputs=1, center_point_box=1
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_boxes_and_scores_are_what_goes_into_the_nms(name: str) -> None:
    found = read(GRAPHS[name])
    np.testing.assert_allclose(found.boxes_xyxy, BOXES, rtol=1e-5)
    np.testing.assert_allclose(found.class_scores, SCORES, rtol=1e-5)
    assert not found.finished


@pytest.mark.parametrize("producer", ["", "pytorch"])
@pytest.mark.parametrize("order", [[0, 1, 2, 3], [1, 0, 3, 2], [2, 1, 0, 3], [3, 2, 1, 0]])
@pytest.mark.parametrize("share", [False, True])
def test_boxes_of_a_grid_show_which_of_x_and_y_comes_first(
    producer: str, order: list[int], share: bool
) -> None:
    rows, columns = np.mgrid[0:HEIGHT:8, 0:WIDTH:8].reshape(2, -1)
    corners = np.stack([columns - 2, rows - 1, columns + 5, rows + 9], 1).astype(np.float32)
    scores = np.full((len(corners), 3), 0.5, np.float32)
    given = corners / np.array([WIDTH, HEIGHT, WIDTH, HEIGHT]) if share else corners
    model = graph("NonMaxSuppression", given[:, order].astype(np.float32), scores.T, outputs=1)
    model.producer_name = producer
    np.testing.assert_allclose(read(model).boxes_xyxy, corners, rtol=1e-5)


def test_an_nms_whose_result_other_nodes_work_on_is_left_alone() -> None:
    model = graph("NonMaxSuppression", Y_FIRST, SCORES.T, outputs=1)
    model.graph.node[-1].op_type = "Neg"
    assert cut_before_nms(model) is None


@pytest.mark.parametrize(
    "names",
    [
        ("num_dets", "det_boxes", "det_scores", "det_classes"),
        ("num_detections", "nmsed_boxes", "nmsed_scores", "nmsed_classes"),
    ],
)
def test_four_finished_tensors_count_up_to_their_number(names: tuple[str, ...]) -> None:
    arrays = (
        np.array([[1]], np.int32),
        BOXES[None],
        np.array([[0.9, 0.8]], np.float32),
        np.array([[2, 1]], np.int32),
    )
    outputs = dict(zip(names, arrays, strict=True))
    found = read_finished(outputs, num_classes=3, file_name="m.onnx")
    np.testing.assert_array_equal(found.boxes_xyxy, BOXES[:1])
    np.testing.assert_allclose(found.class_scores, [[0, 0, 0.9]])
    assert found.finished


def test_rows_of_a_batch_are_those_of_the_first_image() -> None:
    rows = np.array([[0, 1, 2, 3, 4, 1, 0.9], [1, 5, 6, 7, 8, 0, 0.8]], np.float32)
    found = read_finished({"output": rows}, num_classes=3, file_name="m.onnx")
    np.testing.assert_array_equal(found.boxes_xyxy, [[1, 2, 3, 4]])
    np.testing.assert_allclose(found.class_scores, [[0, 0.9, 0]])
    assert found.finished


def test_other_outputs_are_refused_with_their_shapes() -> None:
    with pytest.raises(VerificationError, match=r"m\.onnx \(what \[1, 2, 3\]\)"):
        read_finished({"what": np.zeros((1, 2, 3))}, num_classes=3, file_name="m.onnx")
