"""What a network answers to one frame: whether a detector could have said it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from builder.detectors.detector import Detector
from builder.errors import LabelsError, ModelFileError
from builder.settings import BuildSettings

# Float16 rounds 1 up to 1.001, and sums of sigmoids a little further.
SCORE_TOLERANCE = 0.01
# Boxes of low anchors may reach out of the frame by the largest that their layer can be. Nothing
# that is in pixels lies further out than this: frames, or pixels where frames are small.
FAR_FRAMES, FAR_PIXELS = 4, 2048
# Boxes of all places of a frame that reach no further than this are in another unit.
LARGEST_SHARE = 2.0
# Of candidates that would be detections, so many may have their corners the wrong way round.
MOST_INVERTED = 0.5
# Rows looked at where nothing is found.
BEST_ROWS = 10
# What is the same may come out a little different in a batch, where layers are computed otherwise:
# scores by this share of the best one.
SAME_SHARE, SAME_PIXELS = 0.2, 4.0
LEAST_SCORE = 1e-5


def check_answer(
    candidates: NDArray[np.float32],
    frame: str,
    detector: Detector,
    settings: BuildSettings,
    *,
    name: str,
) -> int:
    """Check the candidates of a frame, and return how many would be detections.

    1. No score is NaN or infinite, and none lies outside of 0 to 1.
    2. What would be detections, or the best candidates where nothing would be, have finite boxes
       that lie in or about the frame, in pixels, with the left and upper end first; and a class
       that there is.

    Args:
        candidates: float32 ``[K, 6]``: x1, y1, x2, y2, score, class.
        frame: what was in it, for refusals.
        detector: that the network was made of.
        settings: with nothing left to default.
        name: of the detector's file.

    Raises:
        ModelFileError: saying which of these does not hold.
        LabelsError: of a class that has no name.
    """

    def refuse(what: str) -> ModelFileError:
        return ModelFileError(
            f"{name}, read as {detector.head.value}, finds {what} in {frame}: it is misread or "
            "damaged; name its --head if that is wrong, or export it again as a detector"
        )

    scores = candidates[:, 4]
    if not np.isfinite(scores).all():
        raise refuse("scores that are not finite numbers")
    low, high = float(scores.min()), float(scores.max())
    if low < -SCORE_TOLERANCE or high > 1 + SCORE_TOLERANCE:
        raise refuse(f"scores from {low:.4g} to {high:.4g}, and scores lie in 0 to 1,")
    found = scores > np.float32(settings.conf or 0)
    best = candidates[found] if found.any() else _best(candidates)
    boxes = best[:, :4]
    if not np.isfinite(boxes).all():
        raise refuse("boxes that are not finite numbers")
    problem = _box_problem(boxes, detector) or _unit_problem(candidates, detector)
    if problem is not None:
        raise refuse(problem)
    classes = best[:, 5]
    if (classes % 1 != 0).any() or (classes < 0).any():
        raise refuse("classes that are no whole numbers")
    if (classes >= len(detector.labels)).any():
        raise LabelsError(
            f"{name} finds class {int(classes.max())} in {frame}, and only {len(detector.labels)} "
            "classes have names, from 0 on: name all of them with --labels FILE, one to a line"
        )
    return int(found.sum())


def shows_something(candidates: NDArray[np.float32]) -> bool:
    """Return whether an answer can be told from that to a frame that nobody looked at."""
    return bool(candidates[:, 4].max(initial=0) > LEAST_SCORE)


def same_answer(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Return whether two answers ``[K, 6]`` are those to the same frame.

    Candidates that score alike may come in another order, so scores are compared by rank and boxes
    where the best one is far better than the next.

    Args:
        one: the answer in a batch.
        other: that to the frame by itself.
    """
    mine, theirs = -np.sort(-one[:, 4]), -np.sort(-other[:, 4])
    margin = SAME_SHARE * max(float(theirs[0]), LEAST_SCORE)
    if not np.allclose(mine, theirs, rtol=0, atol=margin):
        return False
    if len(theirs) > 1 and theirs[0] - theirs[1] <= 2 * margin:
        return True
    boxes = one[one[:, 4].argmax(), :4], other[other[:, 4].argmax(), :4]
    return bool(np.abs(boxes[0] - boxes[1]).max() < SAME_PIXELS)


def _best(candidates: NDArray[np.float32]) -> NDArray[np.float32]:
    best = candidates[np.argsort(-candidates[:, 4], kind="stable")[:BEST_ROWS]]
    # Rows of zeros say that nothing more was found.
    rows: NDArray[np.float32] = best[best[:, 4] > 0]
    return rows


def _box_problem(boxes: NDArray[np.float32], detector: Detector) -> str | None:
    if not len(boxes):
        return None
    sides = np.array([detector.width, detector.height] * 2, np.float32)
    far = np.maximum(FAR_FRAMES * sides, FAR_PIXELS)
    shown = f"{detector.width}x{detector.height}"
    if ((boxes < -far) | (boxes > sides + far)).any():
        return f"boxes from {boxes.min():.4g} to {boxes.max():.4g} pixels, far outside of {shown},"
    inverted = (boxes[:, 2] < boxes[:, 0]) | (boxes[:, 3] < boxes[:, 1])
    if inverted.mean() > MOST_INVERTED:
        return "boxes whose right or lower end lies before the other one"
    return None


def _unit_problem(candidates: NDArray[np.float32], detector: Detector) -> str | None:
    boxes = candidates[candidates[:, 4] > 0, :4]
    largest = float(np.abs(boxes[np.isfinite(boxes)]).max(initial=0))
    if 0 < largest <= LARGEST_SHARE:
        return (
            f"boxes that reach {largest:.2g} pixels into {detector.width}x{detector.height}, as "
            "shares of the frame do,"
        )
    return None
