"""The Kalman filter of SORT, DeepSORT and ByteTrack for boxes, in numpy.

A box is (centre x, centre y, width over height, height), with a velocity of each, pixels a frame.
All covariances that the filter begins with, adds and measures by are diagonal, so its 8x8 matrices
fall into a filter of two numbers, place and velocity, for each of the four: the same result, for a
hundred boxes in a few array operations.

Noise as in DeepSORT (Wojke et al., 2017, https://github.com/nwojke/deep_sort) and ByteTrack: parts
of the box's height.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Rows = NDArray[np.intp] | NDArray[np.bool_] | slice | Sequence[int]

POSITION, VELOCITY = 1 / 20, 1 / 160
# Of width over height, in no relation to the height.
ASPECT, ASPECT_VELOCITY, ASPECT_MEASURED = 1e-2, 1e-5, 1e-1
ASPECT_COLUMN, HEIGHT_COLUMN = 2, 3


@dataclass
class Motion:
    """Where boxes are and how they move; float64 ``[n, 4]`` each.

    Attributes:
        place: centre x, centre y, width over height, height.
        velocity: of each, a frame.
        place_variance: of ``place``.
        covariance: of ``place`` with ``velocity``.
        velocity_variance: of ``velocity``.
    """

    place: Floats
    velocity: Floats
    place_variance: Floats
    covariance: Floats
    velocity_variance: Floats

    @classmethod
    def begin(cls, measured: Floats) -> Motion:
        """Return the motion of boxes that were seen for the first time, ``measured`` ``[n, 4]``."""
        height = measured[:, HEIGHT_COLUMN]
        place = _noise(2 * POSITION * height, ASPECT)
        velocity = _noise(10 * VELOCITY * height, ASPECT_VELOCITY)
        zeros = np.zeros_like(measured)
        return cls(measured.copy(), zeros, place, zeros.copy(), velocity)

    def __len__(self) -> int:
        """Return how many boxes there are."""
        return len(self.place)

    def take(self, rows: Rows) -> Motion:
        """Return a copy of some of the boxes."""
        return Motion(*(getattr(self, field.name)[rows].copy() for field in fields(self)))

    def put(self, rows: Rows, others: Motion) -> None:
        """Replace some of the boxes."""
        for field in fields(self):
            getattr(self, field.name)[rows] = getattr(others, field.name)

    def joined(self, others: Motion) -> Motion:
        """Return these boxes and then others."""
        return Motion(
            *(
                np.concatenate([getattr(self, field.name), getattr(others, field.name)])
                for field in fields(self)
            )
        )

    def predict(self) -> None:
        """Go on by one frame."""
        height = self.place[:, HEIGHT_COLUMN]
        place_noise = _noise(POSITION * height, ASPECT)
        velocity_noise = _noise(VELOCITY * height, ASPECT_VELOCITY)
        self.place = self.place + self.velocity
        self.place_variance = (
            self.place_variance + 2 * self.covariance + self.velocity_variance + place_noise
        )
        self.covariance = self.covariance + self.velocity_variance
        self.velocity_variance = self.velocity_variance + velocity_noise

    def correct(self, measured: Floats) -> None:
        """Take in what was seen of each box, float64 ``[n, 4]``."""
        noise = _noise(POSITION * self.place[:, HEIGHT_COLUMN], ASPECT_MEASURED)
        variance = self.place_variance + noise
        place_gain, velocity_gain = self.place_variance / variance, self.covariance / variance
        surprise = measured - self.place
        self.place = self.place + place_gain * surprise
        self.velocity = self.velocity + velocity_gain * surprise
        self.velocity_variance = self.velocity_variance - velocity_gain * self.covariance
        self.covariance = self.covariance - place_gain * self.covariance
        self.place_variance = self.place_variance - place_gain * self.place_variance


def xyxy_to_xyah(boxes_xyxy: NDArray[np.float32]) -> Floats:
    """Return (centre x, centre y, width over height, height) of boxes, float64 ``[n, 4]``."""
    boxes = boxes_xyxy.astype(np.float64)
    size = boxes[:, 2:] - boxes[:, :2]
    centre = boxes[:, :2] + size / 2
    return np.column_stack([centre, size[:, 0] / size[:, 1], size[:, 1]])


def xyah_to_xyxy(boxes_xyah: Floats) -> Floats:
    """Return the corners of boxes, float64 ``[n, 4]``."""
    height = boxes_xyah[:, 3]
    half = np.column_stack([boxes_xyah[:, 2] * height, height]) / 2
    return np.hstack([boxes_xyah[:, :2] - half, boxes_xyah[:, :2] + half])


def _noise(deviation: Floats, of_aspect: float) -> Floats:
    """Return variances ``[n, 4]``: of ``deviation``, but for width over height."""
    noise = np.repeat(np.square(deviation)[:, None], 4, axis=1)
    noise[:, ASPECT_COLUMN] = of_aspect**2
    return noise
