from __future__ import annotations

import json

import numpy as np
import pytest

from nms import Thresholds, select_detections, suppress_overlaps, to_source_pixels
from tests.conftest import ROOT

GOLDEN = np.load(ROOT / "tests" / "golden" / "nms.npz")
CASES = sorted({int(key.split("_")[0]) for key in GOLDEN.files})


def rows(*values: tuple[float, ...]) -> np.ndarray:
    return np.array(values, np.float32).reshape(-1, 6)


@pytest.mark.parametrize("case", CASES)
def test_result_is_exactly_that_of_ultralytics(case: int) -> None:
    options = json.loads(str(GOLDEN[f"{case}_thresholds"]))
    options["classes"] = tuple(options["classes"]) if options["classes"] else None
    chosen = select_detections(GOLDEN[f"{case}_candidates"], Thresholds(**options))
    np.testing.assert_array_equal(chosen, GOLDEN[f"{case}_kept"])


def test_golden_cases_cover_suppression_and_its_absence() -> None:
    kept = [len(GOLDEN[f"{case}_kept"]) for case in CASES]
    passed = [int((GOLDEN[f"{case}_candidates"][:, 4] > 0.25).sum()) for case in CASES]
    assert min(kept) >= 10
    assert any(few < many for few, many in zip(kept, passed, strict=True))


def test_boxes_of_two_classes_suppress_each_other_only_when_asked() -> None:
    candidates = rows((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 10, 0.8, 1))
    assert len(select_detections(candidates, Thresholds(0.25, 0.5, 10))) == 2
    agnostic = select_detections(candidates, Thresholds(0.25, 0.5, 10, class_agnostic=True))
    np.testing.assert_array_equal(agnostic, candidates[:1])


def test_what_the_network_has_suppressed_is_only_filtered_and_sorted() -> None:
    candidates = rows((0, 0, 9, 9, 0.5, 0), (0, 0, 9, 9, 0.9, 0), (0, 0, 9, 9, 0.2, 0))
    chosen = select_detections(candidates, Thresholds(0.25, 0.1, 10, suppressed=True))
    np.testing.assert_array_equal(chosen, candidates[[1, 0]])
    first = select_detections(candidates, Thresholds(0.25, 0.1, 1, suppressed=True))
    np.testing.assert_array_equal(first, candidates[[1]])


def test_a_score_must_be_greater_than_the_threshold() -> None:
    candidates = rows((0, 0, 10, 10, 0.25, 0), (50, 0, 60, 10, 0.2500001, 0))
    np.testing.assert_array_equal(
        select_detections(candidates, Thresholds(0.25, 0.5, 10)), candidates[1:]
    )


def test_result_is_sorted_whatever_the_order_of_the_candidates() -> None:
    rng = np.random.default_rng(0)
    candidates = GOLDEN["1_candidates"]
    options = Thresholds(0.25, 0.7, 300)
    shuffled = candidates[rng.permutation(len(candidates))]
    np.testing.assert_array_equal(
        select_detections(shuffled, options), select_detections(candidates, options)
    )


def test_nothing_in_nothing_out() -> None:
    assert select_detections(rows(), Thresholds(0.25, 0.5, 10)).shape == (0, 6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", range(6))
@pytest.mark.parametrize("suppressed", [False, True])
def test_what_is_not_finite_is_no_detection_and_suppresses_none(
    value: float, column: int, suppressed: bool
) -> None:
    candidates = rows((0, 0, 10, 10, 0.95, 0), (0, 0, 10, 10, 0.9, 0), (50, 0, 60, 10, 0.8, 0))
    candidates[0, column] = value
    np.testing.assert_array_equal(
        select_detections(candidates, Thresholds(0.0, 0.5, 10, suppressed=suppressed)),
        candidates[1:],
    )


def test_empty_boxes_do_not_suppress() -> None:
    boxes = np.zeros((3, 4), np.float32)
    np.testing.assert_array_equal(suppress_overlaps(boxes, 0.5, 10), [0, 1, 2])


def test_boxes_are_clipped_to_the_image() -> None:
    geometry = np.array([1920, 1080, 1 / 3, 1 / 3, 0, 140], np.float32)
    boxes = np.array([[-5, 100, 700, 560], [10, 150, 20, 160]], np.float32)
    np.testing.assert_allclose(
        to_source_pixels(boxes, geometry), [[0, 0, 1920, 1080], [30, 30, 60, 60]], atol=1e-3
    )


def greedy(boxes: np.ndarray, iou: float, max_keep: int) -> list[int]:
    """One pair after the other, as the algorithm is told."""
    one, kept = np.float32, []
    for index, (x1, y1, x2, y2) in enumerate(boxes):
        for other in kept:
            u1, v1, u2, v2 = boxes[other]
            width = max(min(x2, u2) - max(x1, u1), one(0))
            shared = width * max(min(y2, v2) - max(y1, v1), one(0))
            united = (u2 - u1) * (v2 - v1) + (x2 - x1) * (y2 - y1) - shared
            if shared / united > np.float64(iou):
                break
        else:
            kept.append(index)
    return kept[:max_keep]


@pytest.mark.parametrize(("iou", "max_keep"), [(0.5, 400), (0.7, 150), (1 / 3, 400)])
def test_hundreds_of_boxes_are_suppressed_as_one_after_the_other(iou: float, max_keep: int) -> None:
    rng = np.random.default_rng(3)
    # Whole pixels of few sizes: many overlaps are the same, some exactly a third.
    corners = rng.integers(0, 120, (400, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + rng.integers(1, 5, (400, 2)) * 10], 1)
    boxes = boxes.astype(np.float32)
    kept = suppress_overlaps(boxes, iou, max_keep)
    assert list(kept) == greedy(boxes, iou, max_keep)


@pytest.mark.parametrize("iou", [1 / 3, 2 / 3, 0.1])
def test_an_overlap_is_compared_with_the_threshold_as_given(iou: float) -> None:
    """A float32 overlap may lie just above a threshold that float32 rounds up to it."""
    width = {1 / 3: 3, 2 / 3: 3, 0.1: 10}[iou]
    boxes = np.array([[0, 0, width, 1], [0, 0, round(width * iou), 1]], np.float32)
    overlap = np.float32(round(width * iou)) / np.float32(width)
    kept = suppress_overlaps(boxes, iou, 10)
    assert len(kept) == (1 if float(overlap) > iou else 2)
