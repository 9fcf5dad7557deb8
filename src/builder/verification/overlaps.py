"""How much boxes overlap, and which of them stay: plain non-maximum suppression."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# ultralytics moves class c by c times this, so that only boxes of one class overlap (`max_wh` of
# its non_max_suppression). In float32 this rounds, and so decides close overlaps.
CLASS_OFFSET = 7680
# `max_nms` there: no more boxes than that are looked at.
MOST_BOXES = 30_000


def overlaps(one: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return intersection over union of each box with each: float32 ``[n, m]``.

    Args:
        one: float32 ``[n, 4]``, x1 y1 x2 y2.
        others: float32 ``[m, 4]``.
    """
    low = np.maximum(one[:, None, :2], others[None, :, :2])
    high = np.minimum(one[:, None, 2:], others[None, :, 2:])
    shared = (high - low).clip(0).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (one, others)]
    together = areas[0][:, None] + areas[1][None] - shared
    with np.errstate(invalid="ignore", divide="ignore"):
        table: NDArray[np.float32] = np.nan_to_num(shared / together, posinf=0.0)
    return table


def suppress(
    boxes_xyxy: NDArray[np.float32],
    scores: NDArray[np.float32],
    classes: NDArray[np.int64],
    *,
    iou: float,
    class_agnostic: bool,
    max_det: int,
) -> NDArray[np.intp]:
    """Return the indices of the boxes that stay, best first: ultralytics' rule.

    The best box stays, every box that overlaps it by more than ``iou`` goes, and so on.

    Args:
        boxes_xyxy: float32 ``[n, 4]``.
        scores: float32 ``[n]``.
        classes: int64 ``[n]``.
        iou: 0 to 1.
        class_agnostic: whether boxes of different classes suppress each other.
        max_det: most that stay.
    """
    order = np.argsort(-scores, kind="stable")[:MOST_BOXES]
    boxes = boxes_xyxy
    if not class_agnostic:
        boxes = boxes + (classes[:, None] * CLASS_OFFSET).astype(np.float32)
    stay: list[int] = []
    gone = np.zeros(len(scores), bool)
    for index in order:
        if gone[index]:
            continue
        stay.append(int(index))
        if len(stay) == max_det:
            break
        # A row of a table of all pairs, made only for those that stay.
        gone |= overlaps(boxes[index : index + 1], boxes)[0].astype(np.float64) > iou
    return np.array(stay, np.intp)
