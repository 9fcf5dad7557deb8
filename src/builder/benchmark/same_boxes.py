"""Whether two ways to detect find the same boxes: one that finds fewer is not faster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from builder.errors import BenchmarkError

# float32 [n, 6]: x1, y1, x2, y2 in pixels of the picture, score, class.
Boxes = NDArray[np.float32]

# Scores near the threshold of 0.25 come and go with rounding: only what is surer must have a match.
SURE = 0.35
# Of two boxes around one thing. Letterboxed to a rectangle or a square they differ by pixels.
SAME_IOU = 0.75
# Of the sure boxes of either side, those that the other has too.
LEAST_SHARE = 0.95


@dataclass(frozen=True)
class Agreement:
    """How far two ways agree.

    Attributes:
        sure: boxes of either side that the other must have too.
        matched: that it has.
        worst_px: by which an edge of two matched boxes differs at most.
        worst_score: by which their scores do.
    """

    sure: int
    matched: int
    worst_px: float
    worst_score: float

    @property
    def words(self) -> str:
        """The agreement, for a report."""
        return (
            f"{self.matched} of {self.sure} boxes have their like, edges within "
            f"{self.worst_px:.1f} px, scores within {self.worst_score:.2f}"
        )


def boxes_of(rows: Sequence[Sequence[float]]) -> Boxes:
    """Return boxes from rows of x1, y1, x2, y2, score and class."""
    return np.asarray(rows, np.float32).reshape(-1, 6)


def clipped(boxes: Boxes, width: int, height: int) -> Boxes:
    """Return boxes as far as they lie within the picture, and none that have no pixel in it.

    Some ways let boxes stand out of the picture, and what is found in its padding has no area.
    """
    edges = np.clip(boxes[:, :4], 0, np.array([width, height, width, height], np.float32))
    seen = (edges[:, 2:] - edges[:, :2] >= 1).all(1)
    within: Boxes = np.concatenate([edges, boxes[:, 4:]], 1)[seen]
    return within


def agreement(one: Sequence[Boxes], other: Sequence[Boxes]) -> Agreement:
    """Compare what two ways find in the same images.

    Raises:
        ValueError: they looked at different numbers of images.
    """
    sure = matched = 0
    worst_px = worst_score = 0.0
    for mine, yours in zip(one, other, strict=True):
        for wanted, among in ((mine, yours), (yours, mine)):
            for box in wanted[wanted[:, 4] >= SURE]:
                sure += 1
                like = among[among[:, 5] == box[5]]
                if not len(like):
                    continue
                overlaps = _iou(box, like)
                best = like[overlaps.argmax()]
                if overlaps.max() < SAME_IOU:
                    continue
                matched += 1
                worst_px = max(worst_px, float(np.abs(best[:4] - box[:4]).max()))
                worst_score = max(worst_score, abs(float(best[4] - box[4])))
    return Agreement(sure, matched, worst_px, worst_score)


def check_agreement(name: str, found: Agreement) -> None:
    """Check that somebody found what the pipeline finds.

    Raises:
        BenchmarkError: not, or there is nothing to find in the images.
    """
    if not found.sure:
        raise BenchmarkError(
            "nothing is found in these images, so it cannot be seen whether all find the same: "
            "give images that show what the detector knows"
        )
    if found.matched < LEAST_SHARE * found.sure:
        raise BenchmarkError(
            f"{name} finds other boxes than the pipeline ({found.words}): is its model another "
            "detector?"
        )


def _iou(box: NDArray[np.float32], others: Boxes) -> NDArray[np.float32]:
    corners = np.concatenate(
        [np.maximum(box[:2], others[:, :2]), np.minimum(box[2:4], others[:, 2:4])], 1
    )
    sides = np.clip(corners[:, 2:] - corners[:, :2], 0, None)
    shared: NDArray[np.float32] = sides[:, 0] * sides[:, 1]
    areas = (others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1])
    area = (box[2] - box[0]) * (box[3] - box[1])
    result: NDArray[np.float32] = shared / np.maximum(area + areas - shared, 1e-6)
    return result
