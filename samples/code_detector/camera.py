"""What the camera does to a label and to the whole scene: projection, light, blur, noise."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Bend:
    """A label around an upright cylinder; `angle` is half the arc it covers, in radians."""

    angle: float
    sag: float  # how far the middle hangs below the ends, as a fraction of the label's height

    def forward(self, points: np.ndarray, width: float, height: float) -> np.ndarray:
        """Flat label coordinates to bent ones, both float [n, 2] and of the same frame."""
        u = points[:, 0] / width * 2 - 1
        x = np.sin(u * self.angle) / np.sin(self.angle)
        y = points[:, 1] * (1 - self.sag) + self.sag * height * np.cos(u * np.pi / 2)
        return np.stack([(x + 1) / 2 * width, y], axis=1)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Bend an image; what lies outside becomes black."""
        height, width = image.shape[:2]
        x = (np.arange(width, dtype=np.float32) + 0.5) / width * 2 - 1
        u = np.arcsin(np.clip(x * np.sin(self.angle), -1, 1)) / self.angle
        map_x = np.repeat(((u + 1) / 2 * width - 0.5)[None], height, axis=0)
        y = np.arange(height, dtype=np.float32)[:, None] + 0.5
        hang = self.sag * height * np.cos(u * np.pi / 2)
        map_y = (y - hang[None]) / (1 - self.sag) - 0.5
        return cv2.remap(
            image, map_x.astype(np.float32), map_y.astype(np.float32), cv2.INTER_LINEAR
        )


def random_bend(rng: np.random.Generator) -> Bend:
    """A slight to moderate curvature."""
    return Bend(float(rng.uniform(0.3, 1.0)), float(rng.uniform(0, 0.12)))


def random_pose(rng: np.random.Generator, width: float, height: float) -> np.ndarray:
    """A homography float [3, 3] that turns a flat label in space, its centre going to (0, 0).

    Coordinates are continuous (pixel i covers [i, i + 1]); sizes stay about the same.
    """
    roll = _random_roll(rng)
    tilt = np.deg2rad(rng.normal(0, 18, 2).clip(-50, 50)) * (rng.random() < 0.8)
    rotation = cv2.Rodrigues(np.array([tilt[0], 0, 0.0]))[0]
    rotation = rotation @ cv2.Rodrigues(np.array([0, tilt[1], 0.0]))[0]
    rotation = rotation @ cv2.Rodrigues(np.array([0, 0, roll]))[0]
    distance = rng.uniform(1.6, 5.0) * max(width, height)
    plane = rotation[:, :2]  # where the label's own axes point
    project = np.array([plane[0], plane[1], plane[2] / distance])
    homography = np.column_stack([project, [0, 0, 1]])
    centre = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
    return homography @ centre


def _random_roll(rng: np.random.Generator) -> float:
    kind = rng.random()
    if kind < 0.6:
        return float(np.deg2rad(rng.normal(0, 6)))
    if kind < 0.75:
        return float(np.deg2rad(rng.choice([90, 180, 270]) + rng.normal(0, 5)))
    return float(rng.uniform(-np.pi, np.pi))


def project(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply a homography to float [n, 2] points."""
    return cv2.perspectiveTransform(points[None].astype(np.float64), homography)[0]


def in_pixel_centres(homography: np.ndarray) -> np.ndarray:
    """The same homography for coordinates in which pixel i has its centre at i, as OpenCV does."""
    to_edges = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    return np.linalg.inv(to_edges) @ homography @ to_edges


def light(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Uneven light, a shadow's edge and glare on a uint8 BGR image."""
    height, width = image.shape[:2]
    low = rng.uniform(0.55, 0.95)
    field = rng.uniform(low, 1.15, (2, 2)).astype(np.float32)
    field = cv2.resize(field, (32, 32), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.25:
        points = rng.uniform(-8, 40, (int(rng.integers(3, 5)), 2)).astype(np.int32)
        shadow = np.ones_like(field)
        cv2.fillPoly(shadow, [cv2.convexHull(points)], float(rng.uniform(0.4, 0.8)))
        field *= cv2.GaussianBlur(shadow, (0, 0), rng.uniform(0.5, 3))
    gain = cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR)
    image = cv2.multiply(image, cv2.merge([gain] * 3), dtype=cv2.CV_8U)
    if rng.random() < 0.12:
        glare = np.zeros((32, 32), np.float32)
        centre = tuple(int(v) for v in rng.integers(0, 32, 2))
        axes = tuple(int(v) for v in rng.integers(1, 8, 2))
        strength = float(rng.uniform(40, 190))
        cv2.ellipse(glare, centre, axes, float(rng.uniform(0, 180)), 0, 360, strength, -1)
        glare = cv2.GaussianBlur(glare, (0, 0), rng.uniform(0.8, 3))
        glare = cv2.resize(glare, (width, height), interpolation=cv2.INTER_LINEAR)
        image = cv2.add(image, cv2.merge([glare] * 3), dtype=cv2.CV_8U)
    return image


def blur(rng: np.random.Generator, image: np.ndarray, smallest_px: float) -> np.ndarray:
    """Defocus or motion, kept small against the smallest code so that its class stays visible."""
    kind = rng.random()
    if kind < 0.3:
        return image
    if kind < 0.78:
        limit = float(np.clip(0.03 * smallest_px, 0.45, 2.4))
        return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.2, limit))
    length = round(rng.uniform(2, float(np.clip(0.1 * smallest_px, 3, 11))))
    side = length // 2 * 2 + 1
    kernel = np.zeros((side, side), np.float32)
    angle = rng.uniform(0, np.pi)
    step = np.array([np.cos(angle), np.sin(angle)]) * (length / 2)
    start, stop = side / 2 - 0.5 - step, side / 2 - 0.5 + step
    ends = [tuple(round(v) for v in end) for end in (start, stop)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1)
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def sensor(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Tone curve, sharpening, a lower resolution at times, and noise."""
    height, width = image.shape[:2]
    if rng.random() < 0.4:
        gamma = rng.uniform(0.7, 1.4)
        image = cv2.LUT(image, (255 * (np.arange(256) / 255) ** gamma).astype(np.uint8))
    if rng.random() < 0.12:
        share = rng.uniform(0.7, 0.95)
        small = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.15:
        soft = cv2.GaussianBlur(image, (0, 0), 1.0)
        image = cv2.addWeighted(image, 1.7, soft, -0.7, 0)
    if rng.random() < 0.6:
        sigma = rng.uniform(1, 9)
        colour = rng.random() < 0.5
        noise = rng.standard_normal((height, width, 3 if colour else 1), np.float32) * sigma
        if not colour:
            noise = np.repeat(noise, 3, axis=2)
        image = cv2.add(image, noise, dtype=cv2.CV_8U)
    return image
