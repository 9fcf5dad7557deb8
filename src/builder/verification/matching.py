"""Which detections of two parties are the same, and how far those are apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from builder.verification.found import Found
from builder.verification.overlaps import overlaps

# The same object when of one class and overlapping by this much, or nowhere further apart than
# this: a box of a few pixels, or one without area, overlaps nothing much.
SAME_OBJECT_IOU = 0.5
SAME_OBJECT_PX = 1.0


@dataclass(frozen=True)
class Agreement:
    """How the served detections of a set of images compare with the reference's.

    Attributes:
        images: how many.
        refused: images that the pipeline did not read; what the reference found there is missing.
        matched: detections of both.
        missing: of the reference alone.
        extra: of the pipeline alone.
        box_px: the largest distance between two matched boxes in any coordinate, source pixels.
        score: the largest difference between two matched scores.
        unmatched_score: the best score among the missing and the extra ones.
    """

    images: int
    refused: int
    matched: int
    missing: int
    extra: int
    box_px: float
    score: float
    unmatched_score: float

    @property
    def matched_share(self) -> float:
        """Matched detections of all that either party found, 1 when nobody found any."""
        total = self.matched + self.missing + self.extra
        return self.matched / total if total else 1.0


def agreement(pairs: Iterable[tuple[Found, Found]]) -> Agreement:
    """Compare what was found in each image: the served detections first, then the reference's."""
    images = refused = matched = missing = extra = 0
    box_px = score = unmatched_score = 0.0
    for served, reference in pairs:
        images += 1
        refused += served.refusal is not None
        pairing = match(served, reference)
        matched += len(pairing)
        missing += len(reference) - len(pairing)
        extra += len(served) - len(pairing)
        for mine, theirs in pairing:
            apart = np.abs(served.boxes_xyxy[mine] - reference.boxes_xyxy[theirs]).max()
            box_px = max(box_px, float(apart))
            score = max(score, float(abs(served.scores[mine] - reference.scores[theirs])))
        for found, side in ((served, 0), (reference, 1)):
            alone = np.delete(found.scores, [pair[side] for pair in pairing])
            unmatched_score = max(unmatched_score, float(alone.max(initial=0)))
    return Agreement(images, refused, matched, missing, extra, box_px, score, unmatched_score)


def match(one: Found, other: Found) -> list[tuple[int, int]]:
    """Return the pairs of indices that are the same object, those that are most alike first."""
    table = overlaps(one.boxes_xyxy, other.boxes_xyxy)
    apart = np.abs(one.boxes_xyxy[:, None] - other.boxes_xyxy[None]).max(2, initial=0)
    near = apart <= SAME_OBJECT_PX
    table[near] = np.maximum(table[near], 1 - apart[near] * (1 - SAME_OBJECT_IOU))
    table[one.classes[:, None] != other.classes[None]] = 0
    pairs: list[tuple[int, int]] = []
    while table.size and table.max() >= SAME_OBJECT_IOU:
        mine, theirs = divmod(int(table.argmax()), table.shape[1])
        pairs.append((mine, theirs))
        table[mine], table[:, theirs] = 0, 0
    return pairs
