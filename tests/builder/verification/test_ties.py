"""What the table of heads forgives in a noisy network, and what not."""

from __future__ import annotations

import numpy as np
import pytest

from builder.verification.found import Found, Thresholds
from builder.verification.head_reading import RawBoxes
from builder.verification.source_image import Placed
from tests.heads.ties import without_ties

OWN = Thresholds(conf=0.25, iou=0.7, max_det=300)
AS_IT_IS = Placed(np.zeros((200, 400, 3), np.uint8), 400, 200, 1.0, 1.0, 0, 0)
FIRST, FAR = (0.9, 0, 0, 100, 100), (0.6, 200, 0, 300, 100)
# Overlap with the first: just more than allowed, and much more.
TIED, COVERED = (0.8, 0, 0, 100, 71), (0.8, 0, 0, 100, 90)


def found(*rows: tuple[float, ...]) -> Found:
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Found(table[:, 1:], table[:, 0], np.zeros(len(rows), np.int64))


def left(served: Found, *candidates: tuple[float, ...]) -> tuple[list[float], list[float]]:
    """Scores that are left of what was served and of what the reference finds."""
    seen = found(*candidates)
    raw = RawBoxes(seen.boxes_xyxy, seen.scores[:, None])
    pair = without_ties(served, raw, AS_IT_IS, OWN, box_px=2.0, score=0.002)
    mine, theirs = ([round(float(score), 3) for score in each.scores] for each in pair)
    return mine, theirs


def test_what_both_found_stays() -> None:
    assert left(found(FIRST, FAR), FIRST, TIED, FAR) == ([0.9, 0.6], [0.9, 0.6])


def test_a_box_that_overlaps_by_about_the_threshold_may_be_served_or_not() -> None:
    assert left(found(FIRST, TIED, FAR), FIRST, TIED, FAR) == ([0.9, 0.6], [0.9, 0.6])


@pytest.mark.parametrize(
    "extra", [COVERED, (0.8, 0, 0, 100, 74.5), (0.803, *TIED[1:]), (0.7, 50, 120, 90, 160)]
)
def test_what_is_no_tie_stays_extra(extra: tuple[float, ...]) -> None:
    mine, theirs = left(found(FIRST, extra, FAR), FIRST, TIED, COVERED, FAR)
    assert mine == [0.9, round(extra[0], 3), 0.6]
    assert theirs == [0.9, 0.6]


def test_what_the_reference_is_sure_of_stays_missing() -> None:
    assert left(found(FIRST), FIRST, TIED, FAR) == ([0.9], [0.9, 0.6])
