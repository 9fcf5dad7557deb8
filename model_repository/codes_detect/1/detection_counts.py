"""What the answers to a batch add to the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from contract import NUM_DETS, Tensor

from metrics import Family, Series

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nms import Thresholds

CANDIDATES_SEEN = Family(
    "framewire_candidates_total", "Boxes of the network that score above the request's threshold"
)
DETECTIONS = Family("framewire_detections_total", "Boxes that were answered")
DETECTION_COUNTERS = (CANDIDATES_SEEN, DETECTIONS)


class DetectionTally:
    """Adds up what is found in the requests of a batch."""

    def __init__(self) -> None:
        self._candidates = 0
        self._detections = 0

    def count(
        self,
        candidates: NDArray[np.float32],
        geometry: NDArray[np.float32],
        thresholds: Thresholds,
        found: Mapping[Tensor, NDArray[Any]],
    ) -> None:
        """Count what one request had found.

        Args:
            candidates: float32 ``[n, K, 6]``.
            geometry: float32 ``[n, 6]``; the candidates of an image of source size 0 are those of
                an empty frame and count for nothing.
            thresholds: of the request.
            found: what :func:`detections.detection_tensors` made of them.
        """
        above = candidates[:, :, 4] > np.float32(thresholds.conf)
        above[geometry[:, 0] == 0] = False
        self._candidates += int(np.count_nonzero(above))
        self._detections += int(found[NUM_DETS].sum())

    def amounts(self) -> dict[Series, float]:
        """Return what to add."""
        return {
            Series(CANDIDATES_SEEN): self._candidates,
            Series(DETECTIONS): self._detections,
        }
