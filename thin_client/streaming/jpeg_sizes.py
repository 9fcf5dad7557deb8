"""How many bytes a JPEG will have, before it is made."""

from __future__ import annotations

import itertools
import math

__all__ = ["JpegSizes"]

# Bytes against quality 80, the mean over the seven sample pictures with this package's encoder; a
# beginning, corrected with every frame that is sent.
_RELATIVE_BYTES = {
    100: 1.75,
    95: 1.75,
    90: 1.29,
    80: 1.0,
    70: 0.75,
    60: 0.58,
    50: 0.53,
    40: 0.43,
    30: 0.39,
    20: 0.33,
    10: 0.28,
    1: 0.28,
}
# How bytes grow with pixels: 0.92 and 0.83 in the mean for the same pictures at a half and a third
# of their sides, from 0.67 to 1.27 for single ones.
_EXPONENT = 0.87


class JpegSizes:
    """How many bytes a JPEG will have; learns from those that were encoded."""

    def __init__(self, megapixel_bytes: float = 120_000.0) -> None:
        self._megapixel_bytes = megapixel_bytes  # at quality 80

    def predict(self, width: int, height: int, quality: int) -> float:
        """Return the bytes of a frame."""
        return self._megapixel_bytes * _relative_bytes(quality) * _relative_pixels(width, height)

    def learn(self, width: int, height: int, quality: int, size: int, weight: float = 0.2) -> None:
        """Count a JPEG of ``size`` bytes."""
        found = size / (_relative_bytes(quality) * _relative_pixels(width, height))
        self._megapixel_bytes += weight * (found - self._megapixel_bytes)


def _relative_pixels(width: int, height: int) -> float:
    """Return the bytes of a size against those of a megapixel: smaller pictures are denser."""
    return float((width * height / 1e6) ** _EXPONENT)


def _relative_bytes(quality: int) -> float:
    """Return the bytes at a quality against those at quality 80, between the points on a line."""
    points = sorted(_RELATIVE_BYTES.items())
    for (low, less), (high, more) in itertools.pairwise(points):
        if quality <= high:
            share = (quality - low) / (high - low)
            return math.exp((1 - share) * math.log(less) + share * math.log(more))
    return points[-1][1]
