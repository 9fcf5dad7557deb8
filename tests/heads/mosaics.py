"""Pictures for detectors with random weights.

Such a network answers to texture: an ordinary picture gives it hundreds of boxes or none. Mosaics
of random pieces of the samples are all about as busy as each other, so each gives it some.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import cv2
import numpy as np

from tests.conftest import ROOT

COLUMNS, ROWS = 5, 4
# Width and height of pictures that letterboxes of every kind have work with.
SIZES = ((640, 480), (480, 640), (320, 320), (800, 450))
# Those a network is tuned on are not those it is asked about.
TUNED_ON = range(8)
ASKED_ABOUT = range(100, 104)


def mosaic(seed: int) -> np.ndarray:
    """Return a BGR picture; the same for the same seed."""
    width, height = SIZES[seed % len(SIZES)]
    random = np.random.default_rng(seed)
    samples = _samples()
    picture = np.zeros((height, width, 3), np.uint8)
    for left, right in _bounds(width, COLUMNS):
        for top, bottom in _bounds(height, ROWS):
            sample = samples[random.integers(len(samples))]
            piece = _piece(sample, random, (bottom - top) / (right - left))
            size = (right - left, bottom - top)
            picture[top:bottom, left:right] = cv2.resize(piece, size, interpolation=cv2.INTER_AREA)
    return picture


def encoded_mosaics() -> Iterator[bytes]:
    """Yield the JPEG files that networks are asked about."""
    for seed in ASKED_ABOUT:
        yield cv2.imencode(".jpg", mosaic(seed))[1].tobytes()


def letterboxed_mosaics(width: int, height: int) -> np.ndarray:
    """Return the pictures that networks are tuned on, BGR ``[n, height, width, 3]``."""
    return np.stack([_letterboxed(mosaic(seed), width, height) for seed in TUNED_ON])


def _samples() -> list[np.ndarray]:
    return [cv2.imread(str(path)) for path in sorted((ROOT / "samples").glob("*.jpg"))]


def _bounds(size: int, parts: int) -> list[tuple[int, int]]:
    edges = [round(index * size / parts) for index in range(parts + 1)]
    return list(pairwise(edges))


def _piece(sample: np.ndarray, random: np.random.Generator, aspect: float) -> np.ndarray:
    height, width = sample.shape[:2]
    wide = int(random.uniform(0.1, 0.4) * min(width, height))
    high = min(max(8, round(wide * aspect)), height - 1)
    left, top = random.integers(width - wide), random.integers(height - high)
    return sample[top : top + high, left : left + wide]


def _letterboxed(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    scale = min(width / picture.shape[1], height / picture.shape[0])
    high, wide = round(picture.shape[0] * scale), round(picture.shape[1] * scale)
    frame = np.full((height, width, 3), 114, np.uint8)
    top, left = (height - high) // 2, (width - wide) // 2
    frame[top : top + high, left : left + wide] = cv2.resize(picture, (wide, high))
    return frame
