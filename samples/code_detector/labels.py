"""Flat printed matter: labels, parcels and papers that carry codes, text and look-alikes.

Coordinates are continuous: pixel i covers [i, i + 1], so a box of width w covers w pixels exactly.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

import cv2
import numpy as np

from backgrounds import cardboard_colour
from symbols import BARCODE, MIN_SIZE_PX, Symbol, make_distractor, print_symbol, resize_modules

_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX_SMALL)
_WORDS = (
    "FRAGILE", "LOT", "SHIP TO", "QTY", "Made in", "SKU", "Order", "kg", "THIS SIDE UP", "No.",
)  # fmt: skip


@dataclass(frozen=True)
class PrintedCode:
    """A symbol's place on its label: class and tight x1 y1 x2 y2, label pixels, no quiet zone."""

    class_id: int
    box_xyxy: tuple[float, float, float, float]


@dataclass(frozen=True)
class Label:
    """Flat artwork, uint8 BGR [height, width, 3], and where its codes are."""

    image: np.ndarray
    codes: tuple[PrintedCode, ...]


@dataclass(frozen=True)
class _Cell:
    """A piece of ink, uint8 [height, width] with 255 for paper; code_box is x1 y1 x2 y2 in it."""

    ink: np.ndarray
    class_id: int = -1
    code_box: tuple[int, int, int, int] = (0, 0, 0, 0)


def make_label(rng: np.random.Generator, symbols: list[Symbol], size_px: float) -> Label:
    """Print the symbols side by side or above each other; `size_px` is the long side of the first.

    Without symbols the label carries text and look-alikes only.
    """
    cells = [_code_cell(rng, s, _symbol_width(rng, s, size_px, i)) for i, s in enumerate(symbols)]
    if not symbols or rng.random() < 0.15:
        cells.append(_distractor_cell(rng, size_px))
    if not symbols or rng.random() < 0.35:
        cells.append(_text_cell(rng, size_px))
    cells = [cells[i] for i in rng.permutation(len(cells))]
    ink, codes = _arrange(rng, cells, margin=int(rng.uniform(0.01, 0.2) * size_px) + 1)
    image = _colour(rng, ink, invertible=all(s.class_id != BARCODE for s in symbols))
    if rng.random() < 0.3:
        return _stick_on_parcel(rng, Label(image, codes))
    if rng.random() < 0.3:
        edge = rng.uniform(0, 120, 3).tolist()
        cv2.rectangle(image, (0, 0), (image.shape[1] - 1, image.shape[0] - 1), edge, 1)
    return Label(image, codes)


def _symbol_width(rng: np.random.Generator, symbol: Symbol, size_px: float, index: int) -> int:
    long_side = size_px if index == 0 else size_px * rng.uniform(0.5, 1.4)
    width = long_side if symbol.aspect <= 1 else long_side / symbol.aspect
    smallest = MIN_SIZE_PX[symbol.class_id] * 1.15
    short_share = 1.0 if symbol.class_id == BARCODE else min(symbol.aspect, 1.0)
    return max(int(width), int(smallest / short_share) + 1)


def _code_cell(rng: np.random.Generator, symbol: Symbol, width: int) -> _Cell:
    art = print_symbol(symbol, width)
    quiet = max(2, round(symbol.quiet_zone * width))
    text_px = max(5, round(width * rng.uniform(0.06, 0.13))) if symbol.text else 0
    height = art.shape[0]
    ink = np.full((height + 2 * quiet + text_px, width + 2 * quiet), 255, np.uint8)
    ink[quiet : quiet + height, quiet : quiet + width] = art
    if symbol.text:
        baseline = quiet + height + text_px + 1
        _write(rng, ink, symbol.text, x=quiet, baseline=baseline, line_px=text_px)
    return _Cell(ink, symbol.class_id, (quiet, quiet, quiet + width, quiet + height))


def _distractor_cell(rng: np.random.Generator, size_px: float) -> _Cell:
    modules = make_distractor(rng)
    width = max(12, int(size_px * rng.uniform(0.3, 1.1)))
    aspect = rng.uniform(0.2, 1.2) if modules.shape[0] == 1 else modules.shape[0] / modules.shape[1]
    art = resize_modules(modules, width, int(np.clip(width * aspect, 8, 2 * width)))
    return _Cell(cv2.copyMakeBorder(art, 3, 3, 3, 3, cv2.BORDER_CONSTANT, value=255))


def _text_cell(rng: np.random.Generator, size_px: float) -> _Cell:
    line_px = int(np.clip(size_px * rng.uniform(0.05, 0.2), 6, 40))
    lines = int(rng.integers(1, 6))
    width = int(size_px * rng.uniform(0.6, 1.5)) + 10
    ink = np.full((int(lines * line_px * 1.5) + 4, width), 255, np.uint8)
    for i in range(lines):
        baseline = int((i + 1) * line_px * 1.45)
        _write(rng, ink, random_line(rng), x=3, baseline=baseline, line_px=line_px)
    return _Cell(ink)


def random_line(rng: np.random.Generator) -> str:
    """A few words and a number."""
    alphabet = list(string.ascii_letters + string.digits + " -/")
    tail = "".join(rng.choice(alphabet, int(rng.integers(3, 14))))
    return f"{rng.choice(_WORDS)} {tail}" if rng.random() < 0.6 else tail


def _write(
    rng: np.random.Generator, ink: np.ndarray, text: str, *, x: int, baseline: int, line_px: int
) -> None:
    font = _FONTS[rng.integers(len(_FONTS))]
    thickness = 1 if line_px < 16 else int(rng.integers(1, 3))
    cv2.putText(ink, text, (x, baseline - 2), font, line_px / 30, 30, thickness, cv2.LINE_AA)


def _arrange(
    rng: np.random.Generator, cells: list[_Cell], margin: int
) -> tuple[np.ndarray, tuple[PrintedCode, ...]]:
    """Lay the cells out in one row or one column, each shifted a little across it."""
    row = rng.random() < 0.5
    gap = int(rng.integers(1, 2 + margin))
    along = [c.ink.shape[1 if row else 0] for c in cells]
    across = max(c.ink.shape[0 if row else 1] for c in cells)
    length = sum(along) + gap * (len(cells) - 1)
    shape = (across, length) if row else (length, across)
    sheet = np.full((shape[0] + 2 * margin, shape[1] + 2 * margin), 255, np.uint8)
    codes, position = [], margin
    for cell, extent in zip(cells, along, strict=True):
        slack = across - cell.ink.shape[0 if row else 1]
        side = margin + int(rng.integers(slack + 1))
        x, y = (position, side) if row else (side, position)
        height, width = cell.ink.shape
        sheet[y : y + height, x : x + width] = cell.ink
        if cell.class_id >= 0:
            x1, y1, x2, y2 = cell.code_box
            codes.append(PrintedCode(cell.class_id, (x + x1, y + y1, x + x2, y + y2)))
        position += extent + gap
    return sheet, tuple(codes)


def _colour(rng: np.random.Generator, ink: np.ndarray, invertible: bool) -> np.ndarray:
    """Grey ink to BGR: mostly black on white, at times coloured, pale or light on dark."""
    dark = rng.uniform(0, 55) + rng.uniform(0, 25, 3)
    light = rng.uniform(185, 255) + rng.uniform(-8, 8, 3)
    kind = rng.random()
    if kind < 0.14:
        light = cardboard_colour(rng) * 1.1
        dark *= 0.7
    elif kind < 0.28:
        light = rng.uniform(130, 255, 3)
    elif kind < 0.36:
        light = np.full(3, rng.uniform(120, 190))  # poor light or worn print
        dark = light - rng.uniform(55, 90)
    elif kind < 0.42:
        dark = rng.uniform(0, 110, 3)
    if invertible and rng.random() < 0.05:
        dark, light = light, dark
    ramp = dark + (light - dark) * (np.arange(256)[:, None] / 255)
    lut = np.clip(ramp, 0, 255).astype(np.uint8)
    return lut[ink]


def _stick_on_parcel(rng: np.random.Generator, label: Label) -> Label:
    """Put the label on a larger sheet of board with an edge, tape and a stamp."""
    height, width = label.image.shape[:2]
    left, right = (int(width * rng.uniform(0.05, 0.7)) for _ in range(2))
    top, bottom = (int(height * rng.uniform(0.05, 0.7)) for _ in range(2))
    board = cardboard_colour(rng) if rng.random() < 0.7 else rng.uniform(20, 230, 3)
    image = np.empty((top + height + bottom, left + width + right, 3), np.uint8)
    image[:] = np.clip(board, 0, 255)
    if rng.random() < 0.4:
        x = int(rng.integers(image.shape[1]))
        tape = np.clip(board * rng.uniform(0.8, 1.25), 0, 255).tolist()
        cv2.rectangle(image, (x, 0), (x + max(4, image.shape[1] // 10), image.shape[0]), tape, -1)
    if rng.random() < 0.5:
        place = (int(rng.integers(image.shape[1])), int(rng.integers(image.shape[0])))
        ink = (board * 0.4).clip(0, 255).tolist()
        scale = max(0.3, height / 150)
        cv2.putText(image, random_line(rng), place, _FONTS[0], scale, ink, 1, cv2.LINE_AA)
    image[top : top + height, left : left + width] = label.image
    codes = tuple(
        PrintedCode(c.class_id, (c.box_xyxy[0] + left, c.box_xyxy[1] + top,
                                 c.box_xyxy[2] + left, c.box_xyxy[3] + top))
        for c in label.codes
    )  # fmt: skip
    return Label(image, codes)
