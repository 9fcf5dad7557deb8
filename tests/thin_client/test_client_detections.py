"""The result of one image, and the request parameters."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from thin_client import Detection, Detections
from thin_client.contract import STATUS_SENTENCES, ImageStatus


def two(**changes):
    fields = {
        "boxes_xyxy": np.array([[1.23456, 2, 3, 4], [5, 6, 7, 8]], np.float32),
        "scores": np.array([0.987654, 0.5], np.float32),
        "classes": np.array([1, 0], np.int32),
        "labels": ("dog", "person"),
        "width": 640,
        "height": 480,
    }
    return Detections(**{**fields, **changes})


def test_iteration_gives_one_detection_at_a_time_in_plain_types():
    first, second = two()
    assert second == Detection("person", 0, 0.5, (5.0, 6.0, 7.0, 8.0))
    assert first.label == "dog"
    assert all(type(edge) is float for edge in first.box_xyxy)
    assert type(first.class_index) is int
    assert len(two()) == 2


def test_dict_is_rounded_json():
    text = json.dumps(two().to_dict())
    assert json.loads(text) == {
        "width": 640,
        "height": 480,
        "detections": [
            {"label": "dog", "class": 1, "score": 0.9877, "box": [1.23, 2.0, 3.0, 4.0]},
            {"label": "person", "class": 0, "score": 0.5, "box": [5.0, 6.0, 7.0, 8.0]},
        ],
    }


def test_failed_image_has_a_sentence_and_no_detections():
    failed = Detections.failed(ImageStatus.EMPTY)
    assert failed.error == STATUS_SENTENCES[ImageStatus.EMPTY]
    assert failed.to_dict() == {"error": failed.error}
    assert not failed.ok
    assert list(failed) == []


def test_a_damaged_image_has_detections_and_says_so():
    damaged = two(status=ImageStatus.DAMAGED)
    assert damaged.ok
    assert damaged.damaged
    assert damaged.to_dict() == {**two().to_dict(), "damaged": True}
    assert not two().damaged


def test_image_without_objects_is_ok_and_false():
    nothing = two(
        boxes_xyxy=np.zeros((0, 4), np.float32),
        scores=np.zeros(0, np.float32),
        classes=np.zeros(0, np.int32),
        labels=(),
    )
    assert nothing.ok
    assert not nothing
    assert nothing.to_dict()["detections"] == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"boxes_xyxy": np.zeros((2, 5), np.float32)}, r"boxes_xyxy is float32 \[2, 5\], expected"),
        ({"boxes_xyxy": np.zeros((2, 4))}, r"float64 \[2, 4\], expected float32 \[2, 4\]"),
        ({"scores": np.zeros(3, np.float32)}, r"scores is float32 \[3\], expected float32 \[2\]"),
        ({"classes": np.zeros(2, np.int64)}, "classes is int64"),
        ({"labels": ("dog",)}, r"expected float32 \[1, 4\]"),
        ({"status": ImageStatus.CORRUPT}, "does not go with"),
        ({"error": "broken"}, "does not go with"),
        ({"status": ImageStatus.DAMAGED, "error": "broken"}, "does not go with"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_with_both_shapes(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        two(**changes)


def test_result_cannot_be_reassigned():
    with pytest.raises(dataclasses.FrozenInstanceError):
        two().width = 1
