from __future__ import annotations

import numpy as np
import pytest

from builder.errors import VerificationError
from builder.verification.evaluation import mean_average_precision
from builder.verification.found import Found
from builder.verification.labelled import Objects


def objects(*rows: tuple[float, ...], crowd: bool = False) -> Objects:
    table = np.array(rows, np.float64).reshape(-1, 5)
    return Objects(table[:, :4], table[:, 4].astype(np.int64), np.full(len(table), crowd))


def found(*rows: tuple[float, ...]) -> Found:
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Found(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


BOX, OTHER = (0, 0, 100, 100), (200, 200, 300, 300)


def test_to_find_everything_is_perfect() -> None:
    precision = mean_average_precision([objects((*BOX, 0))], [found((*BOX, 0.3, 0))], 2)
    assert (precision.map50, precision.map50_95) == pytest.approx((1, 1))


def test_half_the_objects_are_51_of_101_recall_levels() -> None:
    truth = [objects((*BOX, 0), (*OTHER, 0))]
    precision = mean_average_precision(truth, [found((*BOX, 0.3, 0))], 1)
    assert precision.map50 == pytest.approx(51 / 101)


def test_a_shifted_box_is_right_at_lower_overlaps_only() -> None:
    # 75 of 125 columns are shared: an overlap of 0.6, right at 0.5, 0.55 and 0.6.
    shifted = found((25, 0, 125, 100, 0.9, 0))
    precision = mean_average_precision([objects((*BOX, 0))], [shifted], 1)
    assert precision.map50 == pytest.approx(1)
    assert precision.map50_95 == pytest.approx(0.3)


def test_a_better_scored_mistake_costs_precision() -> None:
    mistake = found((*OTHER, 0.9, 0), (*BOX, 0.8, 0))
    assert mean_average_precision([objects((*BOX, 0))], [mistake], 1).map50 == pytest.approx(0.5)


def test_a_class_without_objects_does_not_count() -> None:
    both = found((*BOX, 0.9, 0), (*OTHER, 0.9, 1))
    assert mean_average_precision([objects((*BOX, 0))], [both], 80).map50 == pytest.approx(1)


def test_classes_count_alike_whatever_their_number() -> None:
    truth = [objects((*BOX, 0), (*OTHER, 0), (400, 400, 500, 500, 1))]
    first_class = found((*BOX, 0.9, 0), (*OTHER, 0.9, 0))
    assert mean_average_precision(truth, [first_class], 2).map50 == pytest.approx(0.5)


def test_detections_past_coco_s_hundred_count_up_to_300() -> None:
    boxes = [(20 * i, 0, 20 * i + 10, 10) for i in range(301)]
    truth = [objects(*((*box, 0) for box in boxes))]
    all_of_them = found(*((*box, 1 - i / 1000, 0) for i, box in enumerate(boxes)))
    precision = mean_average_precision(truth, [all_of_them], 1)
    assert 0.98 < precision.map50 < 1


def test_to_find_a_crowd_counts_neither_way() -> None:
    truth = [objects((*BOX, 0)), objects((*OTHER, 0), crowd=True)]
    answers = [found((*BOX, 0.8, 0)), found((*OTHER, 0.95, 0), (*OTHER, 0.9, 0))]
    assert mean_average_precision(truth, answers, 1).map50 == pytest.approx(1)


def test_to_find_nothing_is_worth_nothing() -> None:
    assert mean_average_precision([objects((*BOX, 0))], [found()], 1).map50 == 0


def test_without_any_object_there_is_nothing_to_measure() -> None:
    with pytest.raises(VerificationError, match="nothing to find"):
        mean_average_precision([objects()], [found((*BOX, 0.9, 0))], 1)


def test_it_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    mean_average_precision([objects((*BOX, 0))], [found((*BOX, 0.3, 0))], 1)
    assert capsys.readouterr() == ("", "")
