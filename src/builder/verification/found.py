"""What was found in one image, by the pipeline or by the reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thin_client.detections import Detections


@dataclass(frozen=True, eq=False)
class Found:
    """Detections in one image, best first.

    Attributes:
        boxes_xyxy: float32 ``[n, 4]``, pixels of the upright source image.
        scores: float32 ``[n]``, descending.
        classes: int64 ``[n]``.
        refusal: why the image was not read; then nothing was found.
    """

    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    refusal: str | None = None

    def __len__(self) -> int:
        """Return the number of detections."""
        return len(self.scores)


def found_by_pipeline(detections: Detections) -> Found:
    """Return what a pipeline answered."""
    return Found(
        boxes_xyxy=detections.boxes_xyxy,
        scores=detections.scores,
        classes=detections.classes.astype(np.int64),
        refusal=detections.error,
    )


@dataclass(frozen=True)
class Thresholds:
    """What makes a detection of a box.

    Attributes:
        conf: its score must be greater; 0 to 1.
        iou: a box that overlaps a better one of its class by more goes; 0 to 1.
        max_det: the best so many stay.
        class_agnostic: whether a box also goes for a better one of another class.
        multi_label: whether a box counts once for every class above ``conf``, not for its best one.
    """

    conf: float
    iou: float
    max_det: int
    class_agnostic: bool = False
    multi_label: bool = False
