"""Non-maximum suppression and box geometry in numpy, with ultralytics' exact result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# ultralytics moves the boxes of class c by c * 7680 pixels, so that one pass suppresses within each
# class only (`max_wh` of its non_max_suppression). The move costs float32 precision and so decides
# ties; it is repeated here to reach the same decisions.
CLASS_OFFSET_PIXELS = np.float32(7680)

# Boxes whose overlaps are computed at once: more than most pictures have candidates.
BLOCK_BOXES = 128


@dataclass(frozen=True)
class Thresholds:
    """What decides which candidates become detections.

    Attributes:
        conf: a candidate's score must be greater; 0 to 1.
        iou: a box is suppressed by a better one that overlaps it by more; 0 to 1.
        max_det: the best so many are kept; at least 1.
        classes: only these class indices, or every class when None.
        class_agnostic: whether boxes of different classes suppress each other.
        suppressed: whether the network has suppressed overlaps already, or knows none.
    """

    conf: float
    iou: float
    max_det: int
    classes: tuple[int, ...] | None = None
    class_agnostic: bool = False
    suppressed: bool = False


def select_detections(
    candidates: NDArray[np.float32], thresholds: Thresholds
) -> NDArray[np.float32]:
    """Return the rows of ``candidates`` that are detections, best first.

    Args:
        candidates: float32 ``[K, 6]``: x1, y1, x2, y2, score, class. One with a number that is not
            finite is no candidate.
        thresholds: see :class:`Thresholds`.

    Returns:
        float32 ``[n, 6]``, ``n <= thresholds.max_det``.
    """
    candidates = candidates[candidates[:, 4] > np.float32(thresholds.conf)]
    finite = np.isfinite(candidates).all(axis=1)
    if not finite.all():
        candidates = candidates[finite]
    if thresholds.classes is not None:
        candidates = candidates[np.isin(candidates[:, 5], thresholds.classes)]
    candidates = candidates[np.argsort(-candidates[:, 4], kind="stable")]
    if thresholds.suppressed:
        return candidates[: thresholds.max_det]
    boxes = candidates[:, :4]
    if not thresholds.class_agnostic:
        boxes = boxes + candidates[:, 5:6] * CLASS_OFFSET_PIXELS
    return candidates[suppress_overlaps(boxes, thresholds.iou, thresholds.max_det)]


def suppress_overlaps(
    boxes_xyxy: NDArray[np.float32], iou: float, max_keep: int
) -> NDArray[np.intp]:
    """Return the indices of the boxes that no better box suppresses, at most ``max_keep``.

    Greedy NMS with the arithmetic of ``torchvision.ops.nms``: float32 overlaps, compared with the
    threshold as float64, suppressed when greater. The overlaps are computed a block of boxes at a
    time, against those kept so far and among themselves: numpy's cost is that of its calls.

    Args:
        boxes_xyxy: float32 ``[n, 4]``, best first.
        iou: intersection over union above which the lesser box goes.
        max_keep: stop after so many.
    """
    limit = _largest_float32_up_to(iou)
    kept: list[int] = []
    for start in range(0, len(boxes_xyxy), BLOCK_BOXES):
        block = boxes_xyxy[start : start + BLOCK_BOXES]
        gone = (overlaps(boxes_xyxy[kept], block) > limit).any(axis=0)
        suppresses = overlaps(block, block) > limit
        for index in range(len(block)):
            if gone[index]:
                continue
            kept.append(start + index)
            if len(kept) == max_keep:
                return np.array(kept, dtype=np.intp)
            gone |= suppresses[index]
    return np.array(kept, dtype=np.intp)


def overlaps(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the intersection over union of each box of ``a`` with each of ``b``."""
    ax1, ay1, ax2, ay2 = a.T[:, :, None]
    bx1, by1, bx2, by2 = b.T
    width = np.minimum(ax2, bx2)
    width -= np.maximum(ax1, bx1)
    height = np.minimum(ay2, by2)
    height -= np.maximum(ay1, by1)
    shared: NDArray[np.float32] = np.maximum(width, np.float32(0))
    shared *= np.maximum(height, np.float32(0))
    united = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1)
    united -= shared
    with np.errstate(invalid="ignore", divide="ignore"):
        # Two empty boxes share 0 of 0: not a number, so neither suppresses the other.
        shared /= united
    return shared


def _largest_float32_up_to(value: float) -> np.float32:
    """Return what float32 numbers exceed exactly when they exceed ``value``."""
    nearest = np.float32(value)
    below: np.float32 = np.nextafter(nearest, np.float32(-np.inf))
    return nearest if float(nearest) <= value else below


def to_source_pixels(
    boxes_xyxy: NDArray[np.float32], geometry: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Undo the letterbox: network pixels to source pixels, clipped to the image.

    Args:
        boxes_xyxy: float32 ``[n, 4]`` in network pixels.
        geometry: float32 ``[6]``, the contract's ``geometry``.

    Returns:
        float32 ``[n, 4]``.
    """
    width, height, gain_x, gain_y, pad_left, pad_top = geometry
    gains = np.array([gain_x, gain_y, gain_x, gain_y], dtype=np.float32)
    pads = np.array([pad_left, pad_top, pad_left, pad_top], dtype=np.float32)
    limits = np.array([width, height, width, height], dtype=np.float32)
    return np.clip((boxes_xyxy - pads) / gains, np.float32(0), limits)
