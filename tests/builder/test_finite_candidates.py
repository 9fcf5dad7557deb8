"""Scores and boxes that are not finite, in front of everything that picks the best."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from builder.surgery.boxes import GraphBoxes, GraphRows
from builder.surgery.candidates import best_box_classes, best_candidates, best_rows
from builder.surgery.graph_builder import GraphBuilder

BOXES, CLASSES, KEPT = 50, 3, 10
BROKEN = (np.nan, np.inf)


def raw() -> NDArray[np.float32]:
    """Float32 [2, BOXES, 4 + CLASSES]: corners and class scores."""
    random = np.random.default_rng(0)
    corners = random.uniform(0, 60, (2, BOXES, 2))
    sizes = random.uniform(5, 20, (2, BOXES, 2))
    scores = random.uniform(0.1, 0.9, (2, BOXES, CLASSES))
    return np.concatenate([corners, corners + sizes, scores], 2).astype(np.float32)


def model(kind: str, opset: int) -> onnx.ModelProto:
    columns = 6 if kind == "rows" else 4 + CLASSES
    value = helper.make_tensor_value_info("in", TensorProto.FLOAT, ["n", BOXES, columns])
    result = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", KEPT, 6])
    graph = helper.make_graph([], "pick", [value], [result])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    build = GraphBuilder(made, "pick")
    if kind == "rows":
        found = best_rows(build, GraphRows("in", BOXES), KEPT)
    else:
        boxes, scores = build.slice("in", "all_boxes", 0, 4), build.slice("in", "all_scores", 4)
        head = GraphBoxes(boxes, scores, CLASSES, BOXES, corners=True)
        found = (best_candidates if kind == "best" else best_box_classes)(build, head, KEPT)
    made.graph.node.append(helper.make_node("Identity", [found], ["out"]))
    onnx.checker.check_model(made)
    return made


def run(runtime: str, made: onnx.ModelProto, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    data = made.SerializeToString()
    if runtime == "onnxruntime":
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        return session.run(None, {"in": rows})[0]
    core = openvino.Core()
    return np.array(core.compile_model(core.read_model(data), "CPU")([rows])[0])


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("opset", [11, 17, 21])
@pytest.mark.parametrize("value", BROKEN)
@pytest.mark.parametrize("kind", ["best", "multi", "rows"])
@pytest.mark.parametrize("columns", [(0,), (3,), (4,), (4, 5, 6)])
def test_the_others_are_picked_as_if_it_were_not_there(
    runtime: str, opset: int, value: float, kind: str, columns: tuple[int, ...]
) -> None:
    rows = raw()
    if kind == "rows":
        rows = rows[..., :6]
        rows[..., 5] = 1
        columns = tuple(column for column in columns if column < 5)
    made = model(kind, opset)
    best = rows[..., 4:].max(2) if kind != "rows" else rows[..., 4]
    # So many of the best that without a remedy no room would be left.
    losers = np.argsort(-best, axis=1)[:, :KEPT]
    broken, without = rows.copy(), rows.copy()
    for image, places in enumerate(losers):
        for place in places:
            broken[image, place, list(columns)] = value
            box_is_broken = min(columns) < 4
            gone = slice(4, None) if kind != "rows" else slice(4, 5)
            without[image, place, gone if box_is_broken else list(columns)] = 0
    if kind == "best" and columns == (4,):
        # One class score of several: the box stays for its other classes, or goes.
        found = run(runtime, made, broken)
        assert np.isfinite(found).all()
        assert (found[..., 4] > 0).all()
        return
    np.testing.assert_array_equal(run(runtime, made, broken), run(runtime, made, without))


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_what_there_is_no_room_to_leave_out_has_the_score_0(runtime: str) -> None:
    rows = raw()
    rows[:, KEPT - 2 :, 4:] = np.nan
    found = run(runtime, model("best", 17), rows)
    assert (found[:, : KEPT - 2, 4] > 0).all()
    assert not found[:, KEPT - 2 :, 4].any()
