"""Letterboxing to the pixel as ultralytics does it (``LetterBox`` with ``auto=False``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAD_VALUE = 114


@dataclass(frozen=True)
class Letterbox:
    """Where a source image lies in a network frame; every size in pixels."""

    source_width: int
    source_height: int
    resized_width: int
    resized_height: int
    left: int
    top: int

    def geometry(self) -> NDArray[np.float32]:
        """Return the contract's geometry, float32 ``[6]``.

        The gains are resized size over source size for each axis, as ``scale_boxes`` of
        ultralytics 8.4 has it: rounding the resized size makes the two differ a little.
        """
        return np.array(
            [
                self.source_width,
                self.source_height,
                self.resized_width / self.source_width,
                self.resized_height / self.source_height,
                self.left,
                self.top,
            ],
            dtype=np.float32,
        )


def plan_letterbox(
    source_width: int, source_height: int, frame_width: int, frame_height: int
) -> Letterbox:
    """Fit a source image into a frame: centred, aspect ratio kept, enlarged if it is smaller.

    The new size is ``round(size * ratio)``, at least 1, and the padding on the left and at the top
    ``round(padding / 2 - 0.1)``: both as in ultralytics' ``LetterBox``.
    """
    ratio = min(frame_height / source_height, frame_width / source_width)
    resized_width = max(round(source_width * ratio), 1)
    resized_height = max(round(source_height * ratio), 1)
    return Letterbox(
        source_width=source_width,
        source_height=source_height,
        resized_width=resized_width,
        resized_height=resized_height,
        left=round((frame_width - resized_width) / 2 - 0.1),
        top=round((frame_height - resized_height) / 2 - 0.1),
    )


def draw_letterboxed(image: NDArray[np.uint8], frame: NDArray[np.uint8]) -> Letterbox:
    """Fill ``frame`` with ``image``, letterboxed.

    Args:
        image: uint8 ``[height, width, 3]``.
        frame: uint8 ``[frame height, frame width, 3]``, overwritten whole.

    Returns:
        Where the image came to lie.
    """
    box = plan_letterbox(image.shape[1], image.shape[0], frame.shape[1], frame.shape[0])
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
            image, (box.resized_width, box.resized_height), target, interpolation=cv2.INTER_LINEAR
        )
    return box
