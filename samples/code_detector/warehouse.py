"""A warehouse aisle drawn in three dimensions: shelves, parcels, and codes on their labels.

World coordinates are metres: x to the right, y up, z away from the camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from backgrounds import add_texture, cardboard_colour
from camera import project, sensor
from canvas import Canvas, Scene, new_canvas, place_label, visible_boxes
from labels import Label, PrintedCode, make_label
from symbols import BARCODE, MARKER, MIN_SIZE_PX, make_symbol, print_symbol

_DECK_HEIGHTS_M = (0.16, 0.9, 1.6)
_BEAM_M = 0.15
_BAY_WIDTH_M = 2.3
_TEXTURE_PX_PER_M = 900
_TALLEST_BOX_M = 0.56
_STEEL_BLUE = (150, 85, 30)  # BGR
_BEAM_ORANGE = (40, 105, 205)
_LABEL_PX = (150.0, 260.0)  # the first code of a shipping label, on the box's texture


@dataclass(frozen=True)
class Camera:
    """A pinhole camera; focal length and size in pixels, position in metres, yaw in radians."""

    width: int
    height: int
    focal_px: float
    position: tuple[float, float, float]
    yaw: float
    pitch: float

    def homography(
        self, origin: np.ndarray, along_u: np.ndarray, along_v: np.ndarray
    ) -> np.ndarray:
        """From plane coordinates (u, v in metres from `origin`) to scene pixels: float [3, 3]."""
        turn = cv2.Rodrigues(np.array([0, -self.yaw, 0.0]))[0]
        nod = cv2.Rodrigues(np.array([self.pitch, 0, 0.0]))[0]
        flip = np.diag([1.0, -1.0, 1.0])  # image rows go down
        rotation = nod @ flip @ turn
        centre = np.array([[self.focal_px, 0, self.width / 2], [0, self.focal_px, self.height / 2],
                           [0, 0, 1]])  # fmt: skip
        plane = np.column_stack([along_u, along_v, origin - np.array(self.position)])
        return centre @ rotation @ plane


@dataclass(frozen=True)
class Box:
    """A parcel: lowest left front corner and size, metres."""

    corner: tuple[float, float, float]
    size: tuple[float, float, float]


@dataclass(frozen=True)
class _Stage:
    """What every drawing step needs: the dice, the picture so far, and who looks."""

    rng: np.random.Generator
    canvas: Canvas
    camera: Camera


_X, _Y, _Z = np.eye(3)


def render_warehouse(
    rng: np.random.Generator, width: int, height: int, span_m: float = 3.1
) -> Scene:
    """Shelves of parcels seen a little from the side; `span_m` is how much fits across."""
    camera = Camera(width, height, width * 2.3 / span_m, (-0.35, 1.18, -2.3), 0.17, 0.03)
    image = np.full((height, width, 3), (46, 44, 42), np.uint8)
    canvas = new_canvas(add_texture(rng, image, 6), detail=max(width, height) / 640)
    stage = _Stage(rng, canvas, camera)
    _draw_floor(stage)
    for deck in _DECK_HEIGHTS_M:
        _draw_back(stage, deck)
        for box in _row_of_boxes(rng, deck):
            _draw_box(stage, box)
        beam = (-6.0, deck - _BEAM_M, -0.02)
        _draw_quad(stage, beam, 12 * _X, _BEAM_M * _Y, _BEAM_ORANGE)
        _hang_placards(stage, deck)
    for bay in range(-2, 3):
        x = bay * _BAY_WIDTH_M + 0.75
        _draw_quad(stage, (x, 0.0, -0.04), 0.09 * _X, 3.0 * _Y, _STEEL_BLUE)
    boxes, classes = visible_boxes(canvas)
    image = _ceiling_light(canvas.image)
    return Scene(sensor(rng, image), np.array(boxes).reshape(-1, 4), np.array(classes, int))


def _row_of_boxes(rng: np.random.Generator, deck_m: float) -> list[Box]:
    """Parcels along one deck, the farthest from the camera's axis first."""
    boxes, x = [], -3.2
    while x < 3.4:
        width, height = rng.uniform(0.34, 0.68), rng.uniform(0.3, _TALLEST_BOX_M)
        boxes.append(Box((x, deck_m, rng.uniform(0, 0.16)), (width, height, rng.uniform(0.4, 0.7))))
        x += width + rng.uniform(0.015, 0.12)
    return sorted(boxes, key=lambda b: -abs(b.corner[0] + 0.35))


def _draw_box(stage: _Stage, box: Box) -> None:
    colour = cardboard_colour(stage.rng) * 0.95
    if stage.rng.random() < 0.15:  # white or grey board
        colour = stage.rng.uniform(120, 205) + stage.rng.uniform(-8, 8, 3)
    (x, y, z), (width, height, depth) = box.corner, box.size
    top = np.array([x, y + height, z])
    _draw_quad(stage, top, width * _X, depth * _Z, colour * 1.08)
    eye_x = stage.camera.position[0]
    if not x <= eye_x <= x + width:
        side = np.array([x if eye_x < x else x + width, y, z])
        _draw_quad(stage, side, depth * _Z, height * _Y, colour * 0.62)
    smallest = (
        stage.canvas.detail
        * _TEXTURE_PX_PER_M
        / (stage.camera.focal_px / -stage.camera.position[2])
    )
    face = _front_face(stage.rng, colour, width, height, smallest)
    _place_front(stage, top, face)


def _hang_placards(stage: _Stage, deck_m: float) -> None:
    """Rack location signs on a beam: a marker beside its number."""
    for x in np.arange(-2.6, 3.0, 0.9) + stage.rng.uniform(-0.15, 0.15):
        place = (int(stage.rng.integers(1, 40)), int(stage.rng.integers(1, 9)))
        side = 120
        sign = np.full((side + 36, side + 240, 3), 245, np.uint8)
        art = print_symbol(make_symbol(stage.rng, MARKER), side)
        sign[18 : 18 + side, 18 : 18 + side] = art[..., None]
        text = f"A{place[0]:02d}-{place[1]}"
        cv2.putText(sign, text, (side + 38, 100), cv2.FONT_HERSHEY_DUPLEX, 1.7, (25,) * 3, 3, 16)
        label = Label(sign, (PrintedCode(MARKER, (18, 18, 18 + side, 18 + side)),))
        per_px = (_BEAM_M - 0.01) / sign.shape[0]
        origin = np.array([x, deck_m - 0.005, -0.025])
        place_label(
            stage.rng,
            stage.canvas,
            label,
            stage.camera.homography(origin, _X * per_px, -_Y * per_px),
        )


def _front_face(
    rng: np.random.Generator, colour: np.ndarray, width_m: float, height_m: float, px_per_px: float
) -> Label:
    """Board with tape and a shipping label of one to three codes, at 900 px per metre.

    px_per_px: texture pixels that make one pixel of the network.
    """
    shape = (round(height_m * _TEXTURE_PX_PER_M), round(width_m * _TEXTURE_PX_PER_M), 3)
    face = np.empty(shape, np.uint8)
    face[:] = colour.clip(0, 255)
    face = add_texture(rng, face, 3.5)
    height, width = shape[:2]
    tape = (colour * 0.86 + 22).clip(0, 255).tolist()
    cv2.rectangle(face, (width // 2 - 26, 0), (width // 2 + 26, height // 4), tape, -1)
    seam = (colour * 0.6).clip(0, 255).tolist()
    cv2.rectangle(face, (0, 0), (width - 1, height - 1), seam, 2)
    for _ in range(120):
        sticker = make_label(
            rng,
            [make_symbol(rng, int(c)) for c in rng.integers(0, 4, int(rng.integers(1, 4)))],
            float(rng.uniform(*_LABEL_PX)),
        )
        sticker_h, sticker_w = sticker.image.shape[:2]
        fits = sticker_h < height - 40 and sticker_w < width - 30
        if fits and _is_white(sticker) and _readable(sticker, px_per_px):
            break
    else:
        return Label(face, ())
    x = int(rng.integers(12, width - sticker_w - 10))
    y = int(rng.integers(28, height - sticker_h - 8))
    shade = face[y + 4 : y + 4 + sticker_h, x + 4 : x + 4 + sticker_w]
    shade[:] = (shade * 0.7).astype(np.uint8)
    face[y : y + sticker_h, x : x + sticker_w] = sticker.image
    offset = np.array([x, y, x, y])
    moved = (offset + c.box_xyxy for c in sticker.codes)
    codes = [PrintedCode(c.class_id, tuple(b)) for c, b in zip(sticker.codes, moved, strict=True)]
    return Label(face, tuple(codes))


def _readable(label: Label, px_per_px: float) -> bool:
    """Whether every code keeps 1.3 times the smallest size that the detector is trained on."""
    sides = [(np.array(c.box_xyxy[2:]) - c.box_xyxy[:2], c.class_id) for c in label.codes]
    return all(
        (max(side) if c == BARCODE else min(side)) >= 1.3 * MIN_SIZE_PX[c] * px_per_px
        for side, c in sides
    )


def _is_white(label: Label) -> bool:
    border = np.concatenate([label.image[0], label.image[-1]])
    return bool(np.median(border) > 195 and np.ptp(np.median(border, axis=0)) < 30)


def _place_front(stage: _Stage, top_left: np.ndarray, face: Label) -> None:
    per_px = 1 / _TEXTURE_PX_PER_M
    homography = stage.camera.homography(top_left, _X * per_px, -_Y * per_px)
    if not place_label(stage.rng, stage.canvas, face, homography):
        place_label(stage.rng, stage.canvas, Label(face.image, ()), homography)


def _draw_quad(
    stage: _Stage,
    origin: tuple[float, float, float] | np.ndarray,
    along_u: np.ndarray,
    along_v: np.ndarray,
    colour: tuple[float, ...] | np.ndarray,
) -> None:
    """A plain, slightly textured parallelogram; hides the codes behind it."""
    homography = stage.camera.homography(np.array(origin, float), along_u, along_v)
    corners = project(homography, np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float))
    mask = np.zeros_like(stage.canvas.owner)
    points = np.round((corners.clip(-20000, 20000) - 0.5) * 16).astype(np.int32)
    cv2.fillConvexPoly(mask, points, 255, cv2.LINE_AA, 4)
    x, y, width, height = cv2.boundingRect(mask)
    if not width or not height:
        return
    roi = stage.canvas.image[y : y + height, x : x + width]
    paint = np.empty_like(roi)
    paint[:] = np.clip(colour, 0, 255)
    paint = add_texture(stage.rng, paint, 3.0)
    alpha = (mask[y : y + height, x : x + width, None] / 255).astype(np.float32)
    roi[:] = (roi * (1 - alpha) + paint * alpha).astype(np.uint8)
    stage.canvas.owner[mask > 127] = 0


def _draw_back(stage: _Stage, deck_m: float) -> None:
    """The dark depth of a shelf and its wooden deck."""
    behind = (-6.0, deck_m, 0.75)
    _draw_quad(stage, behind, 12 * _X, 0.75 * _Y, (40, 42, 46))
    _draw_quad(stage, (-6.0, deck_m, 0.0), 12 * _X, 0.75 * _Z, (80, 112, 140))


def _draw_floor(stage: _Stage) -> None:
    _draw_quad(stage, (-6.0, 0.0, -1.2), 12 * _X, 1.4 * _Z, (128, 130, 132))


def _ceiling_light(image: np.ndarray) -> np.ndarray:
    """Warm light from above that fades towards the corners."""
    height, width = image.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    gain = 1.14 - 0.12 * (y + 0.4) ** 2 - 0.16 * x**2
    warm = np.array([0.96, 1.0, 1.03], np.float32)
    return (image * gain[..., None] * warm).clip(0, 255).astype(np.uint8)
