from __future__ import annotations

import numpy as np
import pytest

from builder.detectors.heads import Head
from builder.verification.head_reading import RawBoxes, read_head


def read(head: Head, output: np.ndarray, num_classes: int = 3, size: int = 64) -> RawBoxes:
    return read_head(head, output, num_classes=num_classes, width=size, height=size)


def test_yolov8_has_a_column_to_an_anchor() -> None:
    columns = np.array([[10, 20, 4, 6, 0.1, 0.2, 0.3], [30, 30, 2, 2, 0.9, 0, 0]], np.float16).T
    found = read(Head.YOLOV8, columns)
    np.testing.assert_array_equal(found.boxes_xyxy, [[8, 17, 12, 23], [29, 29, 31, 31]])
    np.testing.assert_allclose(found.class_scores, [[0.1, 0.2, 0.3], [0.9, 0, 0]], atol=1e-3)
    assert found.boxes_xyxy.dtype == found.class_scores.dtype == np.float32
    assert not found.finished


def test_yolov5_multiplies_by_the_objectness() -> None:
    found = read(Head.YOLOV5, np.array([[10, 20, 4, 6, 0.5, 0.1, 0.2, 0.4]], np.float32))
    np.testing.assert_array_equal(found.boxes_xyxy, [[8, 17, 12, 23]])
    np.testing.assert_allclose(found.class_scores, [[0.05, 0.1, 0.2]])


def test_end_to_end_rows_are_finished() -> None:
    rows = np.array([[1, 2, 3, 4, 0.9, 2], [0, 0, 0, 0, 0.5, -1]], np.float32)
    found = read(Head.END2END, rows)
    np.testing.assert_array_equal(found.boxes_xyxy[0], [1, 2, 3, 4])
    np.testing.assert_allclose(found.class_scores, [[0, 0, 0.9], [0, 0, 0]])
    assert found.finished


@pytest.mark.parametrize("num_classes", [2, 3])
def test_rtdetr_boxes_are_shares_of_the_input(num_classes: int) -> None:
    scores = [0.25, 0.5, 0.125][:num_classes]
    rows = np.array([[0.5, 0.5, 0.25, 0.5, *scores]], np.float32)
    found = read_head(Head.RTDETR, rows, num_classes=num_classes, width=64, height=32)
    np.testing.assert_array_equal(found.boxes_xyxy, [[24, 8, 40, 24]])
    np.testing.assert_array_equal(found.class_scores, [scores])
    assert found.finished


@pytest.mark.parametrize("num_classes", [2, 3])
def test_rtdetr_rows_may_hold_score_and_class(num_classes: int) -> None:
    rows = np.array([[0.5, 0.5, 0.25, 0.5, 0.75, 1], [0.5, 0.5, 1, 1, 0.5, 0]], np.float32)
    found = read(Head.RTDETR, rows, num_classes)
    assert found.class_scores.argmax(1).tolist() == [1, 0]
    np.testing.assert_array_equal(found.class_scores.max(1), [0.75, 0.5])


def test_yolox_decodes_its_grid_row_by_row() -> None:
    width, height = 64, 32
    cells = [(8, x, y) for y in range(4) for x in range(8)]
    cells += [(16, x, y) for y in range(2) for x in range(4)]
    cells += [(32, x, y) for y in range(1) for x in range(2)]
    rows = np.zeros((len(cells), 8), np.float32)
    rows[:, 0], rows[:, 1] = 0.5, 0.25
    rows[:, 2], rows[:, 3] = np.log(2), np.log(3)
    rows[:, 4], rows[:, 5] = 0.5, 0.5
    found = read_head(Head.YOLOX, rows, num_classes=3, width=width, height=height)
    for (stride, x, y), box in zip(cells, found.boxes_xyxy, strict=True):
        centre = np.array([x + 0.5, y + 0.25]) * stride
        half = np.array([2, 3]) * stride / 2
        np.testing.assert_allclose(box, [*(centre - half), *(centre + half)], rtol=1e-5)
    np.testing.assert_array_equal(found.class_scores[:, 0], np.full(len(cells), 0.25))
