"""Detections that belong to tracks: as JSON, for supervision, and drawn with trails."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from thin_client import Detections, SupervisionMissing, Trails, annotate
from thin_client.drawing import color_bgr


def tracked(*boxes: tuple[int, tuple[float, float, float, float]]) -> Detections:
    """Detections of one class: the track's id, 0 for none, and the box."""
    return Detections(
        boxes_xyxy=np.array([box for _, box in boxes], np.float32).reshape(-1, 4),
        scores=np.linspace(0.9, 0.5, len(boxes), dtype=np.float32),
        classes=np.zeros(len(boxes), np.int32),
        labels=("dog",) * len(boxes),
        width=320,
        height=240,
        track_ids=np.array([track_id for track_id, _ in boxes], np.int64),
    )


def test_json_says_which_track_a_detection_belongs_to() -> None:
    first, second = tracked((7, (1, 2, 3, 4)), (0, (5, 6, 7, 8))).to_dict()["detections"]
    assert first["track_id"] == 7
    assert "track_id" not in second


def test_ids_have_a_shape_and_a_type() -> None:
    with pytest.raises(ValueError, match=r"track_ids is int32 \[1\], expected int64 \[1\]"):
        Detections(
            np.zeros((1, 4), np.float32),
            np.zeros(1, np.float32),
            np.zeros(1, np.int32),
            ("dog",),
            10,
            10,
            track_ids=np.zeros(1, np.int32),  # type: ignore[arg-type]
        )


def test_supervision_is_given_what_its_trackers_would_give_it() -> None:
    supervision = pytest.importorskip("supervision")
    found = tracked((7, (1, 2, 3, 4)), (0, (5, 6, 7, 8)), (9, (10, 11, 12, 13))).to_supervision()
    assert isinstance(found, supervision.Detections)
    assert found.tracker_id.tolist() == [7, 9]
    assert found.xyxy.tolist() == [[1, 2, 3, 4], [10, 11, 12, 13]]
    assert found.data["class_name"].tolist() == ["dog", "dog"]
    # Its annotators take them.
    picture = np.zeros((240, 320, 3), np.uint8)
    supervision.TraceAnnotator().annotate(picture, found)
    assert supervision.BoxAnnotator().annotate(picture, found).any()


class Selectable(SimpleNamespace):
    """As much of supervision.Detections as is used: its fields, and a choice of rows."""

    def __getitem__(self, rows: Any) -> Selectable:
        chosen = {name: value[rows] for name, value in vars(self).items() if name != "data"}
        return Selectable(**chosen, data={name: rows_[rows] for name, rows_ in self.data.items()})


@pytest.mark.parametrize("with_tracks", [True, False])
def test_fields_are_named_and_typed_as_supervision_has_them(
    monkeypatch: pytest.MonkeyPatch, with_tracks: bool
) -> None:
    monkeypatch.setitem(sys.modules, "supervision", SimpleNamespace(Detections=Selectable))
    detections = tracked((7, (1, 2, 3, 4)), (0, (5, 6, 7, 8)))
    if not with_tracks:
        detections = Detections(
            detections.boxes_xyxy, detections.scores, detections.classes, ("dog", "dog"), 320, 240
        )
    found = detections.to_supervision()
    assert found.xyxy.dtype == np.float32
    assert found.class_id.dtype == int
    if with_tracks:
        assert found.tracker_id.tolist() == [7]
        assert found.data["class_name"].tolist() == ["dog"]
    else:
        assert found.tracker_id is None
        assert len(found.xyxy) == 2
    found.xyxy[0] = 0  # its annotators write into their own arrays


def test_without_supervision_its_absence_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(SupervisionMissing, match="pip install supervision"):
        tracked((7, (1, 2, 3, 4))).to_supervision()


def test_a_trail_is_drawn_where_the_object_was_and_in_its_colour() -> None:
    trails = Trails()
    for number in range(10):
        found = tracked((7, (10 + 20 * number, 20, 30 + 20 * number, 60)))
        trails.follow(found, number * 33_333)
    ((track_id, points_xy),) = trails.paths()
    assert track_id == 7
    assert points_xy.tolist() == [[20 + 20 * number, 60] for number in range(10)]
    picture = annotate(np.zeros((240, 320, 3), np.uint8), found, trails)
    without = annotate(np.zeros((240, 320, 3), np.uint8), found)
    # Half-way, where the object is no longer.
    assert tuple(picture[60, 100]) == color_bgr(7)
    assert not without[60, 100].any()
    assert tuple(picture[20, 210]) == color_bgr(7), "the box has the colour of its track"
    assert cv2.countNonZero(picture[:, :, 0]) > cv2.countNonZero(without[:, :, 0])


def test_trails_end_behind_and_go_with_their_track() -> None:
    trails = Trails(length_s=0.1)
    for number in range(30):
        trails.follow(tracked((1, (number, 0, number + 2, 5))), number * 20_000)
    ((_, points_xy),) = trails.paths()
    assert points_xy[:, 0].tolist() == [25, 26, 27, 28, 29, 30]
    trails.follow(tracked((0, (0, 0, 5, 5))), 30 * 20_000)
    assert [track_id for track_id, _ in trails.paths()] == [1]
    trails.follow(tracked(), 36 * 20_000)
    assert not list(trails.paths())
