"""The tracker, against ultralytics' own ByteTrack and by what becomes of single tracks."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from byte_track import ByteTracker, TrackSettings
from tests.conftest import ROOT

GOLDEN: dict[str, Any] = json.loads((ROOT / "tests" / "golden" / "tracks.json").read_text())
WIDTH, HEIGHT = 640, 480


def look(tracker: ByteTracker, *rows: tuple[float, ...], begin: float = 0) -> list[int]:
    """Look at boxes (centre x, centre y, score, class) of 60x80 pixels; return their ids."""
    values = np.array(rows, np.float32).reshape(-1, 4)
    half = np.array([30, 40], np.float32)
    boxes = np.hstack([values[:, :2] - half, values[:, :2] + half])
    return tracker.look(boxes, values[:, 2], values[:, 3].astype(np.int32), begin).tolist()


@pytest.mark.parametrize("scene", GOLDEN)
def test_ids_are_those_of_ultralytics_frame_by_frame(scene: str) -> None:
    recorded = GOLDEN[scene]
    settings = recorded["settings"]
    tracker = ByteTracker(
        TrackSettings(settings["track_high"], settings["track_low"], settings["track_buffer"])
    )
    seen = set()
    for number, (rows, expected) in enumerate(
        zip(recorded["frames"], recorded["ids"], strict=True)
    ):
        values: NDArray[np.float32] = np.array(rows, np.float32).reshape(-1, 6)
        ids = tracker.look(values[:, :4], values[:, 4], values[:, 5].astype(np.int32))
        assert ids.tolist() == expected, (scene, number)
        seen |= set(expected)
    assert len(seen) > 6


def test_golden_scenes_have_lost_and_found_tracks_and_low_scores() -> None:
    for recorded in GOLDEN.values():
        high = recorded["settings"]["track_high"]
        frames_of: dict[int, list[int]] = {}
        low = 0
        for number, (rows, ids) in enumerate(zip(recorded["frames"], recorded["ids"], strict=True)):
            low += sum(row[4] < high and found > 0 for row, found in zip(rows, ids, strict=True))
            for found in set(ids) - {0}:
                frames_of.setdefault(found, []).append(number)
        gaps = [b - a for each in frames_of.values() for a, b in pairwise(each)]
        assert max(gaps) > 5
        assert low > 5


def test_a_track_is_shown_with_its_second_look_and_at_once_in_the_first() -> None:
    tracker = ByteTracker()
    assert look(tracker, (100, 100, 0.9, 0)) == [1]
    assert look(tracker, (100, 100, 0.9, 0), (400, 300, 0.9, 0)) == [1, 0]
    assert look(tracker, (100, 100, 0.9, 0), (400, 300, 0.9, 0)) == [1, 2]


@pytest.mark.parametrize(
    ("min_hits", "expected"),
    [(1, [[1], [1, 2], [1, 2], [1, 2]]), (3, [[0], [0, 0], [1, 0], [1, 2]])],
)
def test_min_hits_says_when(min_hits: int, expected: list[list[int]]) -> None:
    tracker = ByteTracker(TrackSettings(min_hits=min_hits))
    one, other = (100, 100, 0.9, 0), (400, 300, 0.9, 0)
    assert [look(tracker, one)] + [look(tracker, one, other) for _ in range(3)] == expected


def test_boxes_of_different_classes_are_never_one_thing() -> None:
    tracker = ByteTracker(TrackSettings(min_hits=1))
    assert look(tracker, (100, 100, 0.9, 0)) == [1]
    assert look(tracker, (100, 100, 0.9, 1)) == [2]
    assert look(tracker, (100, 100, 0.9, 0)) == [1]


def test_a_low_score_goes_on_with_a_track_and_begins_none() -> None:
    tracker = ByteTracker()
    look(tracker, (100, 100, 0.9, 0))
    assert look(tracker, (102, 100, 0.15, 0), (400, 300, 0.15, 0)) == [1, 0]
    assert look(tracker, (104, 100, 0.15, 0), (400, 300, 0.15, 0)) == [1, 0]
    assert look(tracker, (106, 100, 0.05, 0)) == [0]


@pytest.mark.parametrize(("step", "expected"), [(18, 1), (24, 0)])
def test_a_low_score_must_overlap_by_half(step: int, expected: int) -> None:
    # Of boxes of 60 pixels: (60 - step) / (60 + step) is 0.54 and 0.43.
    tracker = ByteTracker()
    look(tracker, (100, 100, 0.9, 0))
    look(tracker, (100, 100, 0.9, 0))
    assert look(tracker, (100 + step, 100, 0.15, 0)) == [expected]


def test_a_score_below_what_may_begin_goes_on_with_a_track() -> None:
    tracker = ByteTracker()
    look(tracker, (100, 100, 0.9, 0), begin=0.6)
    assert look(tracker, (102, 100, 0.5, 0), (400, 300, 0.5, 0), begin=0.6) == [1, 0]
    assert look(tracker, (104, 100, 0.5, 0), (400, 300, 0.5, 0), begin=0.6) == [1, 0]


def test_a_lost_track_is_found_again_within_its_buffer_only() -> None:
    for pause, expected in ((10, 1), (40, 0)):
        tracker = ByteTracker()
        look(tracker, (100, 100, 0.9, 0))
        for _ in range(pause):
            assert look(tracker) == []
        assert look(tracker, (100, 100, 0.9, 0)) == [expected]


def test_frames_that_nobody_looked_at_go_on_as_the_tracks_move() -> None:
    tracker = ByteTracker()
    for step in range(12):
        look(tracker, (100 + 8 * step, 100, 0.8, 2))
    for step in range(12, 17):
        shown = tracker.predict(WIDTH, HEIGHT)
        assert shown.ids.tolist() == [1]
        assert shown.classes.tolist() == [2]
        np.testing.assert_allclose(shown.scores, [0.8])
        centre = 100 + 8 * step
        np.testing.assert_allclose(shown.boxes_xyxy, [[centre - 30, 60, centre + 30, 140]], atol=6)
    # And the next look finds the same one there.
    assert look(tracker, (100 + 8 * 17, 100, 0.8, 2)) == [1]


@pytest.mark.parametrize("first", [True, False])
def test_speed_is_learned_between_looks_that_are_far_apart(first: bool) -> None:
    tracker = ByteTracker()
    if not first:
        look(tracker)
    look(tracker, (100, 100, 0.9, 0))
    for each in range(1, 5):
        for _ in range(4):
            tracker.predict(WIDTH, HEIGHT)
        assert look(tracker, (100 + 20 * each, 100, 0.9, 0)) == [1]
    centres = [tracker.predict(WIDTH, HEIGHT).boxes_xyxy[0, [0, 2]].mean() for _ in range(4)]
    np.testing.assert_allclose(centres, [184, 188, 192, 196], atol=4)


def test_the_second_look_tells_the_speed_whenever_the_first_was() -> None:
    for looks_before in (0, 1):
        tracker = ByteTracker()
        for _ in range(looks_before):
            look(tracker)
        look(tracker, (100, 100, 0.9, 0))
        for _ in range(5):
            tracker.predict(WIDTH, HEIGHT)
        assert look(tracker, (120, 100, 0.9, 0)) == [1]
        one, other = (tracker.predict(WIDTH, HEIGHT).boxes_xyxy[0, 0] for _ in range(2))
        # Of 3.3 pixels a frame.
        assert other - one > 1.5


def test_a_track_that_leaves_the_picture_ends() -> None:
    tracker = ByteTracker()
    for step in range(10):
        look(tracker, (WIDTH - 105 + 10 * step, 100, 0.9, 0))
    shown = [tracker.predict(WIDTH, HEIGHT).ids.tolist() for _ in range(4)]
    assert shown[-1] == []
    assert len(tracker) == 0
    # What comes in again there is another one.
    assert look(tracker, (WIDTH - 10, 100, 0.9, 0)) == [0]
    assert look(tracker, (WIDTH - 10, 100, 0.9, 0)) == [2]


def test_boxes_are_within_the_picture() -> None:
    tracker = ByteTracker()
    look(tracker, (5, 5, 0.9, 0))
    box = tracker.predict(WIDTH, HEIGHT).boxes_xyxy
    np.testing.assert_allclose(box, [[0, 0, 35, 45]])


def test_a_lost_track_is_not_shown() -> None:
    tracker = ByteTracker()
    look(tracker, (100, 100, 0.9, 0))
    look(tracker)
    assert tracker.predict(WIDTH, HEIGHT).ids.tolist() == []


def test_boxes_without_size_are_none() -> None:
    tracker = ByteTracker()
    nothing = np.array([[10, 10, 10, 50]], np.float32)
    scores, classes = np.ones(1, np.float32), np.zeros(1, np.int32)
    assert tracker.look(nothing, scores, classes).tolist() == [0]
    assert len(tracker) == 0
