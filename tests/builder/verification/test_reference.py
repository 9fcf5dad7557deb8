"""The reference is ultralytics' own predict, as recorded in samples/golden.json."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from builder.detectors.detector import read_detector
from builder.errors import VerificationError
from builder.settings import Shape
from builder.verification.found import Found, Thresholds
from builder.verification.head_reading import RawBoxes
from builder.verification.reference import Reference, choose
from builder.verification.source_image import Placed
from tests.conftest import ROOT
from tests.images import encoded
from tests.tiny_detector import coloured_square, save_tiny_detector, tiny_detector

SAMPLES = ROOT / "samples"
GOLDEN = json.loads((SAMPLES / "golden.json").read_text())
CODES = SAMPLES / "code_detector" / GOLDEN["model"]
PREDICT = Thresholds(conf=0.25, iou=0.7, max_det=300)


@pytest.fixture(scope="module")
def references() -> dict[Shape, Reference]:
    detector = read_detector(CODES)
    return {shape: Reference(CODES, detector, shape) for shape in Shape}


@pytest.mark.parametrize(("shape", "frames"), [("rect", "detections"), ("square", "in_square")])
@pytest.mark.parametrize("image", GOLDEN["images"], ids=lambda image: image["file"])
def test_it_finds_what_ultralytics_found(
    references: dict[Shape, Reference], image: dict, shape: str, frames: str
) -> None:
    seen = references[Shape(shape)].look((SAMPLES / image["file"]).read_bytes())
    assert seen is not None
    found = choose(*seen, PREDICT)
    detections = image[frames]
    assert (seen[1].width, seen[1].height) == (image["width"], image["height"])
    assert found.classes.tolist() == [each["class"] for each in detections]
    boxes = np.array([each["box"] for each in detections]).reshape(-1, 4)
    np.testing.assert_allclose(found.boxes_xyxy, boxes, atol=0.01)
    np.testing.assert_allclose(found.scores, [each["score"] for each in detections], atol=1e-4)


def tiny(tmp_path: Path, model: onnx.ModelProto) -> Reference:
    file = save_tiny_detector(tmp_path / "tiny.onnx", model)
    return Reference(file, read_detector(file))


def look(reference: Reference, colour: str) -> Found:
    seen = reference.look(encoded(coloured_square(colour), ".png"))
    assert seen is not None
    return choose(*seen, PREDICT)


@pytest.mark.parametrize(
    "model",
    [
        tiny_detector(),
        tiny_detector(batch=1),
        tiny_detector(batch=3),
        tiny_detector(dynamic_size=True),
        tiny_detector(element_type=TensorProto.FLOAT16),
    ],
    ids=["any batch", "batch 1", "batch 3", "any size", "float16"],
)
def test_it_runs_any_export(tmp_path: Path, model: onnx.ModelProto) -> None:
    found = look(tiny(tmp_path, model), "blue")
    np.testing.assert_allclose(found.boxes_xyxy, [[32, 0, 40, 8]], atol=1e-2)
    np.testing.assert_allclose(found.scores, [1], atol=1e-3)
    assert found.classes.tolist() == [2]


@pytest.mark.parametrize("encoded", [b"", b"no picture", b"\xff\xd8\xff\xe0"])
def test_what_is_no_picture_is_none(references: dict[Shape, Reference], encoded: bytes) -> None:
    assert references[Shape.RECT].look(encoded) is None


def test_a_model_that_onnx_runtime_refuses_is_refused_in_one_sentence(tmp_path: Path) -> None:
    model = tiny_detector()
    model.graph.node[0].op_type = "NoSuchOperator"
    good = save_tiny_detector(tmp_path / "good.onnx")
    bad = tmp_path / "bad.onnx"
    onnx.save(model, bad)
    with pytest.raises(VerificationError, match=r"cannot run bad\.onnx.*export") as caught:
        Reference(bad, read_detector(good))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def raw(*, finished: bool = False) -> RawBoxes:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]], np.float32)
    scores = np.array([[0.9, 0.6], [0.8, 0.0], [0.2, 0.25]], np.float32)
    return RawBoxes(boxes, scores, finished=finished)


WHOLE = Placed(np.zeros((100, 100, 3), np.uint8), 100, 100, 1.0, 1.0, 0, 0)


def scores_of(thresholds: Thresholds, *, finished: bool = False) -> list[float]:
    found = choose(raw(finished=finished), WHOLE, thresholds)
    return [round(float(score), 3) for score in found.scores]


def test_a_box_counts_once_unless_multi_label() -> None:
    assert scores_of(Thresholds(0.1, 0.5, 300)) == [0.9, 0.25]
    every_class = Thresholds(0.1, 0.5, 300, multi_label=True)
    assert scores_of(every_class) == [0.9, 0.6, 0.25, 0.2]


def test_a_score_must_be_above_the_threshold() -> None:
    assert scores_of(Thresholds(0.25, 0.5, 300)) == [0.9]
    every_class = Thresholds(0.25, 0.5, 300, multi_label=True)
    assert scores_of(every_class) == [0.9, 0.6]


def test_classes_suppress_each_other_when_agnostic() -> None:
    every_class = Thresholds(0.5, 0.5, 300, multi_label=True, class_agnostic=True)
    assert scores_of(every_class) == [0.9]


def test_no_finished_detection_is_suppressed_or_doubled() -> None:
    thresholds = Thresholds(0.1, 0.5, 300, multi_label=True)
    assert scores_of(thresholds, finished=True) == [0.9, 0.8, 0.25]


def test_the_best_stay_when_there_are_too_many() -> None:
    assert scores_of(Thresholds(0.1, 0.9, 2)) == [0.9, 0.8]
    assert scores_of(Thresholds(0.1, 0.9, 2), finished=True) == [0.9, 0.8]
