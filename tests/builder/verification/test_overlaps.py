from __future__ import annotations

import json

import numpy as np
import pytest

from builder.verification.overlaps import overlaps, suppress
from tests.conftest import ROOT

GOLDEN = np.load(ROOT / "tests" / "golden" / "nms.npz")
CASES = sorted({int(key.split("_")[0]) for key in GOLDEN.files})


@pytest.mark.parametrize("case", CASES)
def test_the_boxes_that_stay_are_those_of_ultralytics(case: int) -> None:
    options = json.loads(str(GOLDEN[f"{case}_thresholds"]))
    rows = GOLDEN[f"{case}_candidates"]
    rows = rows[rows[:, 4] > np.float32(options["conf"])]
    if options["classes"]:
        rows = rows[np.isin(rows[:, 5], options["classes"])]
    stay = suppress(
        rows[:, :4],
        rows[:, 4],
        rows[:, 5].astype(np.int64),
        iou=options["iou"],
        class_agnostic=options["class_agnostic"],
        max_det=options["max_det"],
    )
    np.testing.assert_array_equal(rows[stay], GOLDEN[f"{case}_kept"])


def test_overlap_is_intersection_over_union() -> None:
    one = np.array([[0, 0, 10, 10]], np.float32)
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [0, 0, 0, 0]], np.float32)
    np.testing.assert_allclose(overlaps(one, others), [[1, 1 / 3, 0, 0]], rtol=1e-6)


def test_boxes_without_area_overlap_nothing() -> None:
    nothing = np.zeros((2, 4), np.float32)
    np.testing.assert_array_equal(overlaps(nothing, nothing), np.zeros((2, 2)))
