"""The rewritten network against the original one, both run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from builder.heads import Detector, read_detector
from builder.network_graph import network_graph
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


@pytest.mark.parametrize("opset", [13, 17, 18, 21])
@pytest.mark.parametrize("size", [(64, 64), (96, 64)])
def test_candidates_are_the_best_rows_of_the_original(
    tmp_path: Path, opset: int, size: tuple[int, int]
) -> None:
    width, height = size
    source = detector(tmp_path, width=width, height=height, opset=opset)
    frames = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    images = frames[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255
    raw = run(source.model, images)
    candidates = run(network_graph(source, 20), frames)
    assert candidates.shape == (3, 20, 6)
    assert candidates.dtype == np.float32
    for rows, original in zip(candidates, raw, strict=True):
        np.testing.assert_allclose(rows, best_candidates(original, 20), rtol=1e-6)


def test_red_green_and_blue_are_not_swapped(tmp_path: Path) -> None:
    source = detector(tmp_path)
    for class_index in range(3):
        frame = np.zeros((1, 64, 64, 3), np.uint8)
        frame[..., 2 - class_index] = 255  # BGR
        best = run(network_graph(source, 5), frame)[0, 0]
        assert best[4] == 1
        assert best[5] == class_index


def test_fewer_anchors_than_candidates_give_all_anchors(tmp_path: Path) -> None:
    source = detector(tmp_path)
    frames = np.zeros((1, 64, 64, 3), np.uint8)
    assert run(network_graph(source, 1000), frames).shape == (1, len(anchor_boxes(64, 64)), 6)


def test_an_open_size_is_fixed(tmp_path: Path) -> None:
    source = detector(tmp_path, width=96, height=64, dynamic_size=True)
    frames = np.zeros((2, 64, 96, 3), np.uint8)
    assert run(network_graph(source, 10), frames).shape == (2, 10, 6)


def test_a_half_precision_network_returns_float32(tmp_path: Path) -> None:
    source = detector(tmp_path, element_type=TensorProto.FLOAT16)
    frames = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    candidates = run(network_graph(source, 10), frames)
    assert candidates.dtype == np.float32
    expected = run(network_graph(detector(tmp_path), 10), frames)
    np.testing.assert_allclose(candidates[..., 4], expected[..., 4], atol=2e-3)


def test_a_fixed_batch_stays_fixed(tmp_path: Path) -> None:
    model = network_graph(detector(tmp_path, batch=1), 10)
    shapes = [value.type.tensor_type.shape.dim[0].dim_value for value in model.graph.input]
    assert shapes == [1]


def test_the_detector_is_left_as_it_was(tmp_path: Path) -> None:
    source = detector(tmp_path)
    before = source.model.SerializeToString()
    network_graph(source, 10)
    assert source.model.SerializeToString() == before
