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


def test_a_score_that_is_not_a_number_is_no_detection() -> None:
    candidates = rows((0, 0, 10, 10, np.nan, 0), (50, 0, 60, 10, 0.9, 0))
    np.testing.assert_array_equal(
        select_detections(candidates, Thresholds(0.0, 0.5, 10)), candidates[1:]
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
