from __future__ import annotations

import pytest

from builder.benchmark.same_boxes import (
    agreement,
    boxes_of,
    check_agreement,
    clipped,
)
from builder.errors import BenchmarkError

CAR = [100.0, 100.0, 300.0, 200.0, 0.9, 2.0]
DOG = [400.0, 100.0, 500.0, 200.0, 0.8, 5.0]
MOVED_DOG = [402.0, 99.0, 500.0, 201.0, 0.75, 5.0]
UNSURE = [10.0, 10.0, 40.0, 40.0, 0.3, 2.0]


def test_boxes_that_moved_a_little_are_the_same() -> None:
    found = agreement([boxes_of([CAR, DOG])], [boxes_of([MOVED_DOG, CAR])])
    assert (found.sure, found.matched) == (4, 4)
    assert found.worst_px == 2.0
    assert found.worst_score == pytest.approx(0.05)
    check_agreement("peer", found)


@pytest.mark.parametrize(
    "other",
    [
        [CAR],
        [CAR, [*DOG[:5], 6.0]],
        [CAR, [450.0, 100.0, 550.0, 200.0, 0.8, 5.0]],
        [CAR, DOG, [600.0, 100.0, 700.0, 200.0, 0.8, 5.0]],
    ],
    ids=["missing", "another class", "elsewhere", "one more"],
)
def test_other_boxes_are_told_from_the_same(other: list[list[float]]) -> None:
    found = agreement([boxes_of([CAR, DOG])], [boxes_of(other)])
    assert found.matched < found.sure
    with pytest.raises(BenchmarkError, match=r"^peer finds other boxes than the pipeline"):
        check_agreement("peer", found)


def test_boxes_near_the_threshold_may_come_and_go() -> None:
    found = agreement([boxes_of([CAR, UNSURE])], [boxes_of([CAR])])
    assert (found.sure, found.matched) == (2, 2)


def test_an_image_without_boxes_is_none_of_the_other() -> None:
    found = agreement([boxes_of([]), boxes_of([CAR])], [boxes_of([CAR]), boxes_of([])])
    assert (found.sure, found.matched) == (2, 0)


def test_images_that_show_nothing_prove_nothing() -> None:
    with pytest.raises(BenchmarkError, match="nothing is found in these images"):
        check_agreement("peer", agreement([boxes_of([])], [boxes_of([])]))


def test_boxes_that_stand_out_of_the_picture_end_at_its_edge_or_are_none() -> None:
    in_padding = [100, 1080, 200, 1080, 0.5, 1]
    (box,) = clipped(boxes_of([[-5, 10, 2000, 1100, 0.5, 1], in_padding]), 1920, 1080)
    assert box.tolist() == [0, 10, 1920, 1080, 0.5, 1]
