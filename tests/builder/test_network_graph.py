"""The rewritten network against the original one, both run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from builder.detectors.detector import Detector, read_detector
from builder.network_graph import network_graph
from builder.settings import BuildSettings, Nms, Precision
from nms import Thresholds, select_detections
from tests.tiny_detector import anchor_boxes, save_tiny_detector, tiny_detector


def run(model: onnx.ModelProto, array: NDArray) -> NDArray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {session.get_inputs()[0].name: array})[0]


def best_candidates(raw: NDArray, count: int) -> NDArray:
    """What the rewritten network must return, from the original's output [4 + classes, anchors]."""
    centre, size, scores = raw[:2].T, raw[2:4].T, raw[4:].T
    rows = np.concatenate(
        [centre - size / 2, centre + size / 2, scores.max(1)[:, None], scores.argmax(1)[:, None]], 1
    )
    return rows[np.argsort(-rows[:, 4], kind="stable")[:count]]


def detector(tmp_path: Path, **options: object) -> Detector:
    return read_detector(save_tiny_detector(tmp_path / "model.onnx", tiny_detector(**options)))


def network(source: Detector, **options: object) -> onnx.ModelProto:
    settings = BuildSettings("x", **({"max_det": 10} | options))
    return network_graph(source, settings.with_defaults(source.defaults))


def random_frames(count: int, width: int = 64, height: int = 64) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def as_images(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the original network takes of these frames."""
    return frames[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255


@pytest.mark.parametrize("opset", [11, 12, 13, 17, 18, 21])
@pytest.mark.parametrize("size", [(64, 64), (96, 64)])
def test_candidates_are_the_best_rows_of_the_original(
    tmp_path: Path, opset: int, size: tuple[int, int]
) -> None:
    width, height = size
    source = detector(tmp_path, width=width, height=height, opset=opset)
    frames = random_frames(3, width, height)
    raw = run(source.model, as_images(frames))
    candidates = run(network(source, candidates=20), frames)
    assert candidates.shape == (3, 20, 6)
    assert candidates.dtype == np.float32
    for rows, original in zip(candidates, raw, strict=True):
        np.testing.assert_allclose(rows, best_candidates(original, 20), rtol=1e-6)


@pytest.mark.parametrize("opset", [11, 13, 21])
def test_multi_label_candidates_are_the_best_pairs_of_box_and_class(
    tmp_path: Path, opset: int
) -> None:
    source = detector(tmp_path, opset=opset)
    frames = random_frames(2)
    raw = run(source.model, as_images(frames))
    candidates = run(network(source, candidates=40, multi_label=True), frames)
    for rows, original in zip(candidates, raw, strict=True):
        boxes, scores = original[:4].T, original[4:].T
        best = np.argsort(-scores.reshape(-1), kind="stable")[:40]
        np.testing.assert_allclose(rows[:, 4], scores.reshape(-1)[best], rtol=1e-6)
        np.testing.assert_array_equal(rows[:, 5], best % 3)
        centre, size = boxes[best // 3, :2], boxes[best // 3, 2:]
        np.testing.assert_allclose(rows[:, :2], centre - size / 2)
        np.testing.assert_allclose(rows[:, 2:4], centre + size / 2)


def test_red_green_and_blue_are_not_swapped(tmp_path: Path) -> None:
    source = detector(tmp_path)
    for class_index in range(3):
        frame = np.zeros((1, 64, 64, 3), np.uint8)
        frame[..., 2 - class_index] = 255  # BGR
        best = run(network(source), frame)[0, 0]
        assert best[4] == 1
        assert best[5] == class_index


def test_fewer_anchors_than_candidates_give_all_anchors(tmp_path: Path) -> None:
    source = detector(tmp_path)
    assert run(network(source), random_frames(1)).shape == (1, len(anchor_boxes(64, 64)), 6)


def test_an_open_size_is_fixed(tmp_path: Path) -> None:
    source = detector(tmp_path, width=96, height=64, dynamic_size=True)
    assert run(network(source, candidates=10), random_frames(2, 96, 64)).shape == (2, 10, 6)


@pytest.mark.parametrize("opset", [11, 13, 17, 18, 21])
def test_a_network_for_a_fixed_batch_takes_any_number_of_images(tmp_path: Path, opset: int) -> None:
    fixed = detector(tmp_path, batch=4, opset=opset, insists_on_batch=True)
    assert fixed.fixed_batch == 4
    frames = random_frames(4)
    expected = run(network(detector(tmp_path, opset=opset), candidates=20), frames)
    for count in range(1, 5):
        candidates = run(network(fixed, candidates=20), frames[:count])
        np.testing.assert_allclose(candidates, expected[:count], rtol=1e-6)


@pytest.mark.parametrize("element_type", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_a_half_precision_network_returns_float32(tmp_path: Path, element_type: int) -> None:
    source = detector(tmp_path, element_type=element_type)
    frames = random_frames(1)
    candidates = run(network(source, candidates=10, precision=Precision.FP16), frames)
    assert candidates.dtype == np.float32
    expected = run(network(detector(tmp_path), candidates=10), frames)
    np.testing.assert_allclose(candidates[..., 4], expected[..., 4], atol=2e-3)


def test_nms_in_the_graph_of_a_detector_leaves_no_overlaps(tmp_path: Path) -> None:
    source = detector(tmp_path)
    frames = random_frames(3)
    graph = run(network(source, nms=Nms.GRAPH, iou=0.1, max_det=20), frames)
    candidates = run(network(source, iou=0.1), frames)
    assert graph.shape == (3, 20, 6)
    for found, rows in zip(graph, candidates, strict=True):
        np.testing.assert_array_equal(found, select_detections(rows, Thresholds(0, 0.1, 20)))


@pytest.mark.parametrize("nms", list(Nms))
@pytest.mark.parametrize("precision", list(Precision))
def test_a_detector_may_use_names_of_ours(tmp_path: Path, nms: Nms, precision: Precision) -> None:
    ours = ("frame", "candidates", "framewire_input/cast", "framewire_candidates/top_values")
    theirs = ("images", "output0", "scores", "zero")
    model = tiny_detector()
    texts = dict(zip(theirs, ours, strict=True))
    for node in model.graph.node:
        node.name = "same"
        node.input[:] = [texts.get(name, name) for name in node.input]
        node.output[:] = [texts.get(name, name) for name in node.output]
    for value in (*model.graph.input, *model.graph.output):
        value.name = texts[value.name]
    source = read_detector(save_tiny_detector(tmp_path / "names.onnx", model))
    frames = random_frames(2)
    options = {"nms": nms, "precision": precision, "iou": 0.5}
    expected = run(network(detector(tmp_path), **options), frames)
    np.testing.assert_array_equal(run(network(source, **options), frames), expected)


def test_a_branch_takes_what_a_half_precision_layer_made(tmp_path: Path) -> None:
    model = tiny_detector()
    eye = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    model.graph.initializer.append(numpy_helper.from_array(eye, "eye"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    for node in model.graph.node:
        node.input[:] = ["conv1" if name == "images" else name for name in node.input]
    result = helper.make_tensor_value_info("result", TensorProto.FLOAT, None)
    body = helper.make_graph(
        [helper.make_node("Identity", ["conv0"], ["result"])], "body", [], [result]
    )
    layers = [
        helper.make_node("Conv", ["images", "eye"], ["conv0"]),
        helper.make_node("If", ["yes"], ["chosen"], then_branch=body, else_branch=body),
        helper.make_node("Conv", ["chosen", "eye"], ["conv1"]),
    ]
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*layers, *nodes])
    source = read_detector(save_tiny_detector(tmp_path / "branch.onnx", model))
    frames = random_frames(1)
    expected = run(network(detector(tmp_path)), frames)
    found = run(network(source, precision=Precision.FP16), frames)
    np.testing.assert_allclose(found[..., 4], expected[..., 4], atol=2e-3)


def test_the_detector_is_left_as_it_was(tmp_path: Path) -> None:
    source = detector(tmp_path)
    before = source.model.SerializeToString()
    network(source, precision=Precision.FP16, nms=Nms.GRAPH)
    assert source.model.SerializeToString() == before
