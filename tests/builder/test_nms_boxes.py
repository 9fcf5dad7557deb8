"""Corners that ONNX's NonMaxSuppression takes: in any order, of any unit, by any producer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from builder.detectors.detector import Detector, read_detector
from builder.detectors.heads import Head
from builder.errors import UnknownHeadError
from builder.network_graph import network_graph
from builder.settings import BuildSettings
from builder.trial.nms_boxes import BoxOrder, box_order
from tests.tiny_detector import LABELS
from tests.tiny_layouts import CONF, IOU, MAX_DET, Graph

ORDERS = {
    "x1 y1 x2 y2": [0, 1, 2, 3],
    "y1 x1 y2 x2": [1, 0, 3, 2],
    "x2 y1 x1 y2": [2, 1, 0, 3],
    "y2 x1 y1 x2": [3, 0, 1, 2],
    "y2 x2 y1 x1": [3, 2, 1, 0],
}


def corner_indices(
    width: int,
    height: int,
    order: list[int],
    *,
    normalised: bool = False,
    producer: str = "",
    open_size: bool = False,
) -> onnx.ModelProto:
    """The indices that NonMaxSuppression selects among corners given in some order."""
    graph = Graph(width, height)
    boxes = graph.corners()
    if normalised:
        boxes = graph.add("Div", [boxes, graph.constant([width, height, width, height])])
    boxes = graph.add("Gather", [boxes, graph.constant(order, np.int64)], axis=2)
    scores = graph.add("Transpose", [graph.scores], perm=[0, 2, 1])
    inputs = [boxes, scores, graph.constant([MAX_DET], np.int64)]
    inputs += [graph.constant([IOU]), graph.constant([CONF])]
    node = graph.add("NonMaxSuppression", inputs)
    model = graph.returning(selected_indices=(node, TensorProto.INT64, ["selected", 3]))
    model.producer_name = producer
    if open_size:
        shape = model.graph.input[0].type.tensor_type.shape
        shape.dim[2].dim_param, shape.dim[3].dim_param = "height", "width"
    return model


def read(tmp_path: Path, model: onnx.ModelProto) -> Detector:
    onnx.save(model, tmp_path / "model.onnx")
    return read_detector(tmp_path / "model.onnx", labels=LABELS)


def candidates(detector: Detector) -> NDArray[np.float32]:
    settings = BuildSettings("x", candidates=30, max_det=10).with_defaults(detector.defaults)
    session = onnxruntime.InferenceSession(
        network_graph(detector, settings).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    shape = (2, detector.height, detector.width, 3)
    frames = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return session.run(None, {session.get_inputs()[0].name: frames})[0]


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (64, 96)])
@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("producer", ["", "pytorch"])
@pytest.mark.parametrize("order", ORDERS)
def test_corners_are_read_in_whatever_order_they_are(
    tmp_path: Path, size: tuple[int, int], normalised: bool, producer: str, order: str
) -> None:
    expected = candidates(read(tmp_path, corner_indices(*size, ORDERS["y1 x1 y2 x2"])))
    assert (expected[..., 2] > expected[..., 0]).all()
    model = corner_indices(*size, ORDERS[order], normalised=normalised, producer=producer)
    detector = read(tmp_path, model)
    assert detector.head is Head.NMS
    axis = "y" if order.startswith("y") else "x"
    assert f"its boxes ({axis} first{', shares of the frame' if normalised else ''}" in (
        detector.reason
    )
    np.testing.assert_allclose(candidates(detector), expected, rtol=1e-4, atol=1e-3)


def test_where_no_order_shows_the_model_is_refused(tmp_path: Path) -> None:
    model = corner_indices(64, 64, ORDERS["x1 y1 x2 y2"])
    nms = next(node for node in model.graph.node if node.op_type == "NonMaxSuppression")
    nothing = helper.make_node("Sub", [nms.input[0], nms.input[0]], ["points"])
    model.graph.node.insert(list(model.graph.node).index(nms), nothing)
    nms.input[0] = "points"
    with pytest.raises(UnknownHeadError, match=r"which of x and y comes first.*without NMS"):
        read(tmp_path, model)


def grid(width: int, height: int, stride: int = 8) -> NDArray[np.float32]:
    """Boxes as a network gives them: about a grid's places, none exact; float32 [A, 4]."""
    random = np.random.default_rng(1)
    rows, columns = np.mgrid[0:height:stride, 0:width:stride].reshape(2, -1)
    centres = np.stack([columns, rows], 1) + stride / 2 + random.normal(0, stride, (len(rows), 2))
    half = random.uniform(2, 60, (len(rows), 2))
    return np.concatenate([centres - half, centres + half], 1).astype(np.float32)


@pytest.mark.parametrize("size", [(320, 320), (640, 320), (320, 640), (96, 96)])
def test_the_order_shows_though_no_box_lies_exactly_in_its_place(size: tuple[int, int]) -> None:
    corners = grid(*size)
    assert box_order(corners, *size) == BoxOrder(y_first=False, normalised=False)
    assert box_order(corners[:, [1, 0, 3, 2]], *size) == BoxOrder(y_first=True, normalised=False)
    shares = corners / np.array([*size, *size], np.float32)
    assert box_order(shares, *size) == BoxOrder(y_first=False, normalised=True)
    assert box_order(shares[:, [1, 0, 3, 2]], *size) == BoxOrder(y_first=True, normalised=True)
