"""Images and what somebody labelled in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from builder.verification.found import Found


@dataclass(frozen=True, eq=False)
class Objects:
    """The labelled objects of one image.

    Attributes:
        boxes_xyxy: float64 ``[n, 4]``, pixels of the upright image.
        classes: int64 ``[n]``.
        crowd: bool ``[n]``; such a box stands for many objects, and finding it counts neither way.
    """

    boxes_xyxy: NDArray[np.float64]
    classes: NDArray[np.int64]
    crowd: NDArray[np.bool_]


@dataclass(frozen=True)
class LabelledImage:
    """An image whose labels are wanted.

    Attributes:
        path: of its file.
        width: of the upright image, pixels.
        height: likewise.
    """

    path: Path
    width: int
    height: int


@dataclass(frozen=True)
class GroundTruth:
    """What is in each image.

    Attributes:
        source: in words, where the labels come from.
        objects: one entry for each image.
    """

    source: str
    objects: tuple[Objects, ...]


def objects_found(found: Found) -> Objects:
    """Return what somebody found as if it were labelled."""
    return Objects(found.boxes_xyxy.astype(np.float64), found.classes, np.zeros(len(found), bool))
