from __future__ import annotations

import numpy as np
import pytest

from builder.verification.found import Found
from builder.verification.matching import agreement


def found(*rows: tuple[float, ...], refusal: str | None = None) -> Found:
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Found(table[:, :4], table[:, 4], table[:, 5].astype(np.int64), refusal)


def test_what_both_found_is_matched_and_measured() -> None:
    served = found((0, 0, 10, 10, 0.9, 1), (50, 50, 70, 70, 0.5, 0))
    reference = found((50, 50, 70, 71.5, 0.48, 0), (0, 0.25, 10, 10, 0.9, 1))
    result = agreement([(served, reference)])
    assert (result.matched, result.missing, result.extra) == (2, 0, 0)
    assert result.box_px == pytest.approx(1.5)
    assert result.score == pytest.approx(0.02)
    assert result.matched_share == 1
    assert result.unmatched_score == 0


def test_another_class_is_another_object() -> None:
    result = agreement([(found((0, 0, 10, 10, 0.9, 1)), found((0, 0, 10, 10, 0.8, 0)))])
    assert (result.matched, result.missing, result.extra) == (0, 1, 1)
    assert result.unmatched_score == pytest.approx(0.9)


def test_boxes_without_area_match_by_where_they_are() -> None:
    flat = found((0, 10, 0, 60, 0.9, 0), (640, 10, 640, 60, 0.8, 0))
    moved = found((640, 10.5, 640, 60, 0.8, 0), (0, 10, 0, 60, 0.9, 0), (0, 20, 0, 60, 0.7, 0))
    result = agreement([(flat, moved)])
    assert (result.matched, result.missing, result.extra) == (2, 1, 0)
    assert (result.box_px, result.score) == (0.5, 0)


def test_a_box_is_matched_once() -> None:
    served = found((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 9, 0.8, 0))
    result = agreement([(served, found((0, 0, 10, 9, 0.7, 0)))])
    assert (result.matched, result.missing, result.extra) == (1, 0, 1)
    assert result.box_px == 0
    assert result.unmatched_score == pytest.approx(0.9)


def test_too_small_an_overlap_is_no_match() -> None:
    result = agreement([(found((0, 0, 10, 10, 0.9, 0)), found((6, 0, 16, 10, 0.9, 0)))])
    assert (result.matched, result.missing, result.extra) == (0, 1, 1)


def test_images_are_not_mixed() -> None:
    box = (0, 0, 10, 10, 0.9, 0)
    result = agreement([(found(box), found()), (found(), found(box))])
    assert (result.images, result.matched, result.missing, result.extra) == (2, 0, 1, 1)
    assert result.matched_share == 0


def test_what_was_in_a_refused_image_is_missing() -> None:
    result = agreement([(found(refusal="corrupt"), found((0, 0, 10, 10, 0.9, 0)))])
    assert (result.refused, result.missing) == (1, 1)


def test_nothing_against_nothing_is_full_agreement() -> None:
    assert agreement([(found(), found())]).matched_share == 1
