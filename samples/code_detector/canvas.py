"""A scene while it is composed: labels drawn into it, and which pixels each code still owns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np

from camera import in_pixel_centres, project, random_bend
from labels import Label
from symbols import BARCODE, MIN_SIZE_PX

MIN_VISIBLE = 0.4  # codes less visible than this carry no label
_EDGE_TOLERANCE_PX = 2.0


@dataclass(frozen=True)
class Scene:
    """A rendered photograph and its labels.

    image: uint8 BGR [height, width, 3].
    boxes_xyxy: float [n, 4], pixels, tight around each code without its quiet zone.
    classes: int [n], an index into CLASS_NAMES.
    """

    image: np.ndarray
    boxes_xyxy: np.ndarray
    classes: np.ndarray


@dataclass
class Canvas:
    """A scene while it is composed.

    owner: uint8 [height, width], 1 + the index in `outlines` of the code seen at a pixel, or 0.
    outlines: per code its class and its whole outline, float [n, 2] in scene pixels.
    taken: x1 y1 x2 y2 of everything placed so far.
    detail: scene pixels per pixel of the network, which sets how small a code may be.
    """

    image: np.ndarray
    owner: np.ndarray
    outlines: list[tuple[int, np.ndarray]] = field(default_factory=list)
    taken: list[np.ndarray] = field(default_factory=list)
    detail: float = 1.0


def new_canvas(image: np.ndarray, detail: float = 1.0) -> Canvas:
    """A canvas on a background, uint8 BGR [height, width, 3]."""
    owner = np.zeros(image.shape[:2], np.uint8)
    return Canvas(np.ascontiguousarray(image), owner, detail=detail)


def place_label(
    rng: np.random.Generator,
    canvas: Canvas,
    label: Label,
    homography: np.ndarray,
    curved: bool = False,
) -> bool:
    """Draw a label through a homography (continuous coordinates); False if it does not fit in."""
    height, width = label.image.shape[:2]
    bend = random_bend(rng) if curved else None
    corners = project(homography, rectangle((0, 0, width, height), steps=9 if curved else 1))
    bounds = np.array([np.floor(corners.min(0)) - 1, np.ceil(corners.max(0)) + 2])
    outlines = []
    for code in label.codes:
        points = rectangle(code.box_xyxy, steps=9 if curved else 1)
        if bend:
            points = bend.forward(points, width, height)
        outlines.append((code.class_id, project(homography, points)))
    if not all(_large_enough(c, outline / canvas.detail) for c, outline in outlines):
        return False

    art, mask = label.image, np.full((height, width), 255, np.uint8)
    if bend:
        art, mask = bend.apply(art), bend.apply(mask)
    if not _composite(rng, canvas, art, mask, homography=homography, bounds=bounds):
        return False
    for class_id, outline in outlines:
        canvas.outlines.append((class_id, outline))
        _fill(canvas.owner, outline, len(canvas.outlines))
    canvas.taken.append(bounds.ravel())
    return True


def _composite(
    rng: np.random.Generator,
    canvas: Canvas,
    art: np.ndarray,
    mask: np.ndarray,
    *,
    homography: np.ndarray,
    bounds: np.ndarray,
) -> bool:
    """Warp art and mask into the canvas, at times with a soft shadow; False if nothing is inside.

    bounds: float [2, 2], the lowest and highest x y that the warped art can reach.
    """
    scene_h, scene_w = canvas.owner.shape
    x0, y0 = np.maximum(bounds[0], 0).astype(int)
    x1, y1 = np.minimum(bounds[1], (scene_w, scene_h)).astype(int)
    if x1 - x0 < 4 or y1 - y0 < 4:
        return False
    shift = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1.0]])
    matrix, size = in_pixel_centres(shift @ homography), (int(x1 - x0), int(y1 - y0))
    art = cv2.warpPerspective(art, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpPerspective(mask, matrix, size)
    roi = canvas.image[y0:y1, x0:x1]
    if rng.random() < 0.4:  # the shadow that a label or box casts beside itself
        reach = float(rng.uniform(1, 5))
        soft = cv2.GaussianBlur(np.roll(mask, int(reach), axis=(0, 1)), (0, 0), reach)
        gain = 1 - soft.astype(np.float32) * (rng.uniform(0.2, 0.5) / 255)
        roi[:] = cv2.multiply(roi, cv2.merge([gain] * 3), dtype=cv2.CV_8U)
    alpha = cv2.merge([mask.astype(np.float32) / 255] * 3)
    roi[:] = cv2.add(roi * (1 - alpha), art * alpha, dtype=cv2.CV_8U)
    canvas.owner[y0:y1, x0:x1][mask > 127] = 0
    return True


def visible_boxes(canvas: Canvas) -> tuple[list[list[float]], list[int]]:
    """Exact bounds of each outline, cut where the image ends or where something hides the edge."""
    height, width = canvas.owner.shape
    boxes, classes = [], []
    for index, (class_id, outline) in enumerate(canvas.outlines):
        mine = canvas.owner == index + 1
        area = cv2.contourArea(outline.astype(np.float32))
        if np.count_nonzero(mine) < MIN_VISIBLE * area:
            continue
        columns, rows = np.flatnonzero(mine.any(0)), np.flatnonzero(mine.any(1))
        seen = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)
        exact = np.array([*outline.min(0), *outline.max(0)])
        box = np.where(np.abs(seen - exact) > _EDGE_TOLERANCE_PX, seen, exact)
        box = box.clip(0, (width, height, width, height))
        boxes.append(box.tolist())
        classes.append(class_id)
    return boxes, classes


def rectangle(box_xyxy: Sequence[float], steps: int) -> np.ndarray:
    """The outline of a box as float [4 * steps, 2] points, clockwise."""
    x1, y1, x2, y2 = box_xyxy
    corners = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2], [x1, y1]], float)
    t = np.arange(steps)[:, None] / steps
    return np.concatenate([a + (b - a) * t for a, b in pairwise(corners)])


def _large_enough(class_id: int, outline: np.ndarray) -> bool:
    area = cv2.contourArea(outline.astype(np.float32))
    smallest = MIN_SIZE_PX[class_id] * 0.9
    if class_id != BARCODE:
        return area >= smallest**2
    rect_sides = cv2.minAreaRect(outline.astype(np.float32))[1]
    return max(rect_sides) >= smallest and min(rect_sides) >= 6


def _fill(target: np.ndarray, outline: np.ndarray, value: int) -> None:
    """Fill a polygon given in continuous coordinates, to 1/16 of a pixel."""
    points = np.round((outline - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(target, [points], value, cv2.LINE_8, 4)
