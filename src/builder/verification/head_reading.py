"""Each head's raw output turned into boxes and class scores, by numpy alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from builder.detectors.heads import Head

YOLOX_STRIDES = (8, 16, 32)


@dataclass(frozen=True, eq=False)
class RawBoxes:
    """Everything a network said about one image.

    Attributes:
        boxes_xyxy: float32 ``[n, 4]``, frame pixels.
        class_scores: float32 ``[n, classes]``.
        finished: whether these are detections, of which none is to be suppressed and each has its
            best class only.
    """

    boxes_xyxy: NDArray[np.float32]
    class_scores: NDArray[np.float32]
    finished: bool = False


def read_head(
    head: Head, output: NDArray[np.generic], *, num_classes: int, width: int, height: int
) -> RawBoxes:
    """Read the raw output of one image.

    Args:
        head: its family; not :attr:`Head.NMS`, which has :mod:`builder.verification.nms_graphs`.
        output: without the batch dimension, in the layout of its family (see :class:`Head`).
        num_classes: of the detector.
        width: of the frame, pixels.
        height: likewise.
    """
    rows = output.astype(np.float32)
    if head is Head.YOLOV8:
        rows = rows.T
        return RawBoxes(corners(rows[:, :4]), rows[:, 4 : 4 + num_classes])
    if head is Head.END2END:
        return RawBoxes(rows[:, :4], one_hot(rows[:, 4], rows[:, 5], num_classes), finished=True)
    if head is Head.RTDETR:
        boxes = corners(rows[:, :4] * np.array([width, height, width, height], np.float32))
        scores = rows[:, 4 : 4 + num_classes]
        # Scores of two classes are six columns too, but never all whole numbers.
        if rows.shape[1] == 6 and not np.modf(rows[:, 5])[0].any():
            scores = one_hot(rows[:, 4], rows[:, 5], num_classes)
        return RawBoxes(boxes, scores, finished=True)
    if head is Head.YOLOX:
        rows = yolox_grid(rows, width, height)
    return RawBoxes(corners(rows[:, :4]), rows[:, 4:5] * rows[:, 5 : 5 + num_classes])


def corners(centre_and_size: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return x1 y1 x2 y2 of centre x, centre y, width, height: float32 ``[n, 4]`` both."""
    centre, half = centre_and_size[:, :2], centre_and_size[:, 2:] / np.float32(2)
    return np.concatenate([centre - half, centre + half], 1)


def one_hot(
    scores: NDArray[np.float32], classes: NDArray[np.float32], num_classes: int
) -> NDArray[np.float32]:
    """Return float32 ``[n, classes]``: each row has its score in the column of its class."""
    table = np.zeros((len(scores), num_classes), np.float32)
    known = (classes >= 0) & (classes < num_classes)  # empty rows may have any class
    table[np.nonzero(known)[0], classes[known].astype(np.int64)] = scores[known]
    return table


def yolox_grid(rows: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Return YOLOX's rows with centre and size in pixels, as its ``demo_postprocess`` does.

    A row's centre counts in cells from its own cell, its size is the logarithm of a share of the
    stride; cells follow row by row, the finest map first.
    """
    decoded = rows.copy()
    first = 0
    for stride in YOLOX_STRIDES:
        for y in range(height // stride):
            last = first + width // stride
            decoded[first:last, 0] = (rows[first:last, 0] + np.arange(width // stride)) * stride
            decoded[first:last, 1] = (rows[first:last, 1] + y) * stride
            first = last
        cells = slice(first - (height // stride) * (width // stride), first)
        decoded[cells, 2:4] = np.exp(rows[cells, 2:4]) * stride
    return decoded
