"""Detections of which chance decides whether NMS leaves them.

Of two boxes that overlap by about as much as NMS allows, two programs that compute the same may
each leave another number; then those stay that the second would have sent away, and others that
come last are no longer among the best.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from builder.verification.found import Found, Thresholds
from builder.verification.head_reading import RawBoxes
from builder.verification.matching import match
from builder.verification.reference import choose
from builder.verification.source_image import Placed

# Two pixels, of boxes of a hundred and more, twice.
TIED_IOU = 0.03
TIED_PLACES = 10


def without_ties(
    served: Found, raw: RawBoxes, placed: Placed, own: Thresholds, box_px: float, score: float
) -> tuple[Found, Found]:
    """Leave out what only one party found, and with nearly the same thresholds both might.

    Args:
        served: by the pipeline.
        raw: what the reference's network says.
        placed: where the source image lies in the frame.
        own: thresholds of both.
        box_px: what the same box may differ by, source pixels.
        score: what the same score may differ by.

    Returns:
        What was served and what the reference finds.
    """
    reference = choose(raw, placed, own)
    ious = own.iou - TIED_IOU, own.iou + TIED_IOU
    more, fewer = (
        [choose(raw, placed, replace(own, iou=iou, max_det=count)) for iou in ious]
        for count in (own.max_det + TIED_PLACES, own.max_det - TIED_PLACES)
    )
    possible = np.any([_among(served, found, box_px, score) for found in more], axis=0)
    certain = np.all([_among(reference, found, 0, 0) for found in fewer], axis=0)
    for mine, theirs in match(served, reference):
        possible[mine], certain[theirs] = False, True
    return _only(served, ~possible), _only(reference, certain)


def _among(found: Found, others: Found, box_px: float, score: float) -> NDArray[np.bool_]:
    """Return which detections are among others, but for small differences: ``[n]``."""
    near = np.abs(found.boxes_xyxy[:, None] - others.boxes_xyxy[None]).max(2, initial=0) <= box_px
    alike = np.abs(found.scores[:, None] - others.scores[None]) <= score
    same_class = found.classes[:, None] == others.classes[None]
    return np.asarray((near & alike & same_class).any(1))


def _only(found: Found, which: NDArray[np.bool_]) -> Found:
    return Found(found.boxes_xyxy[which], found.scores[which], found.classes[which], found.refusal)
