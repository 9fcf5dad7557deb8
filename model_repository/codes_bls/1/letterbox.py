"""Letterboxing to the pixel as the networks' own tools do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAD_VALUE = 114

# How an image is placed in the frame.
CENTRE, TOP_LEFT, STRETCH = "centre", "top_left", "stretch"


@dataclass(frozen=True)
class Letterbox:
    """Where a source image lies in a network frame; every size in pixels.

    The gains are frame pixels to a source pixel.
    """

    source_width: int
    source_height: int
    resized_width: int
    resized_height: int
    left: int
    top: int
    gain_x: float
    gain_y: float

    def geometry(self) -> NDArray[np.float32]:
        """Return the contract's geometry, float32 ``[6]``."""
        return np.array(
            [
                self.source_width,
                self.source_height,
                self.gain_x,
                self.gain_y,
                self.left,
                self.top,
            ],
            dtype=np.float32,
        )


def plan_letterbox(
    source_width: int,
    source_height: int,
    frame_width: int,
    frame_height: int,
    placement: str = CENTRE,
    *,
    drawn: tuple[int, int] | None = None,
) -> Letterbox:
    """Fit a source image into a frame.

    ``drawn`` is the width and height of the frame that it is drawn in, where that is only a part of
    the frame that it is fitted into; an image that is too large for it becomes smaller.

    ``centre``: aspect ratio kept, enlarged if it is smaller. The new size is ``round(size *
    ratio)``, at least 1, and the padding on the left and at the top ``round(padding / 2 - 0.1)``:
    both as in ultralytics' ``LetterBox``. The gains are resized size over source size for each
    axis, as ``scale_boxes`` of ultralytics 8.4 has it: rounding makes the two differ a little.

    ``top_left``: likewise, but ``int(size * ratio)``, all padding on the right and at the bottom,
    and the ratio as gain of both axes, as YOLOX' ``preproc`` and its demos have it.

    ``stretch``: the whole frame, as ultralytics' ``LetterBox`` with ``scale_fill``.
    """
    ratio = min(frame_height / source_height, frame_width / source_width)
    if drawn is not None and drawn != (frame_width, frame_height):
        frame_width, frame_height = drawn
        if not _fits(source_width * ratio, frame_width, source_height * ratio, frame_height):
            ratio = min(frame_height / source_height, frame_width / source_width)
    left = top = 0
    if placement == STRETCH:
        width, height = frame_width, frame_height
    elif placement == TOP_LEFT:
        width, height = max(int(source_width * ratio), 1), max(int(source_height * ratio), 1)
    else:
        width, height = max(round(source_width * ratio), 1), max(round(source_height * ratio), 1)
        left, top = round((frame_width - width) / 2 - 0.1), round((frame_height - height) / 2 - 0.1)
    gains = width / source_width, height / source_height
    if placement == TOP_LEFT:
        gains = ratio, ratio
    return Letterbox(source_width, source_height, width, height, left, top, *gains)


def smallest_rectangle(
    source_width: int,
    source_height: int,
    frame_width: int,
    frame_height: int,
    *,
    stride: int,
    least_side: int = 0,
) -> tuple[int, int]:
    """Return width and height of the smallest frame for an image that is fitted into a larger one.

    The image keeps the size that it has in the larger one, and what it leaves of each side is cut
    off in whole strides, as in ultralytics' ``LetterBox`` with ``auto``. No side is shorter than
    ``least_side``.
    """
    ratio = min(frame_height / source_height, frame_width / source_width)
    sides = []
    for source, frame in ((source_width, frame_width), (source_height, frame_height)):
        spare = frame - max(round(source * ratio), 1)
        sides.append(max(frame - spare // stride * stride, min(least_side, frame)))
    return sides[0], sides[1]


def _fits(width: float, frame_width: int, height: float, frame_height: int) -> bool:
    return round(width) <= frame_width and round(height) <= frame_height


def draw_letterboxed(image: NDArray[np.uint8], frame: NDArray[np.uint8], box: Letterbox) -> None:
    """Fill ``frame`` with ``image``, letterboxed.

    Args:
        image: uint8 ``[rows, columns, 3]``: the source image, or the same decoded to fewer pixels.
        frame: uint8 ``[frame height, frame width, 3]``, overwritten whole.
        box: where the image is to lie.
    """
    bottom, right = box.top + box.resized_height, box.left + box.resized_width
    frame[: box.top] = PAD_VALUE
    frame[bottom:] = PAD_VALUE
    frame[box.top : bottom, : box.left] = PAD_VALUE
    frame[box.top : bottom, right:] = PAD_VALUE
    target = frame[box.top : bottom, box.left : right]
    if image.shape == target.shape:
        target[:] = image
    else:
        # OpenCV writes into the frame itself: no copy of the resized image.
        cv2.resize(
            image,
            (box.resized_width, box.resized_height),
            target,
            interpolation=_interpolation(image, target),
        )


def _interpolation(image: NDArray[np.uint8], target: NDArray[np.uint8]) -> int:
    """Return the cheapest interpolation with the result of the bilinear one.

    Shrunk to an odd part, as 1920 to 640, every pixel has its centre on that of a source pixel:
    bilinear takes that one and nothing of its neighbours, and so does the nearest.
    """
    (rows, columns), (target_rows, target_columns) = image.shape[:2], target.shape[:2]
    part = rows // target_rows
    if part % 2 == 1 and (rows, columns) == (part * target_rows, part * target_columns):
        return cv2.INTER_NEAREST_EXACT
    return cv2.INTER_LINEAR
