"""A source image as the network is to see it, and boxes back in its pixels: the plain way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from builder.detectors.frame_shapes import Framing
from builder.detectors.heads import InputConvention, Placement
from builder.verification.optional import needed

PADDING = (114, 114, 114)


@dataclass(frozen=True)
class Placed:
    """A source image in a network's frame.

    Attributes:
        frame: uint8 ``[height, width, 3]``, BGR.
        width: of the source, pixels.
        height: of the source, pixels.
        gain_x: frame pixels to a source pixel.
        gain_y: frame pixels to a source pixel.
        left: padding, frame pixels.
        top: padding, frame pixels.
    """

    frame: NDArray[np.uint8]
    width: int
    height: int
    gain_x: float
    gain_y: float
    left: int
    top: int


def decode(encoded: bytes) -> NDArray[np.uint8] | None:
    """Return the picture, uint8 ``[height, width, 3]`` BGR and upright, or None if there is none.

    As ultralytics reads files: OpenCV, which turns by EXIF.
    """
    if not encoded:
        return None
    cv2 = needed("cv2")
    picture = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    return None if picture is None else np.asarray(picture, np.uint8)


def place(picture: NDArray[np.uint8], framing: Framing) -> Placed:
    """Fit a picture into its frame.

    * Centred: ultralytics' ``LetterBox(auto=False)``, new size ``round(size * ratio)``, padding
      ``round(rest / 2 - 0.1)`` on the left and ``round(rest / 2 + 0.1)`` on the right.
    * Top left: YOLOX's ``preproc``, new size ``int(size * ratio)``.
    * Stretched: ultralytics' ``LetterBox(scale_fill=True)``, as its RT-DETR has it.

    With a stride the frame is cut to the smallest rectangle, a whole number of strides, as
    ``LetterBox(auto=True)`` does it: what is to be padded is the rest that strides leave. No side
    of it is shorter than ``least_side``.
    """
    cv2 = needed("cv2")
    source_height, source_width = picture.shape[:2]
    width, height, placement = framing.width, framing.height, framing.placement
    ratio = min(height / source_height, width / source_width)
    if placement is Placement.STRETCH:
        new_width, new_height = width, height
    elif placement is Placement.TOP_LEFT:
        new_width, new_height = int(source_width * ratio), int(source_height * ratio)
    else:
        new_width, new_height = round(source_width * ratio), round(source_height * ratio)
    new_width, new_height = max(new_width, 1), max(new_height, 1)
    spare_x, spare_y = width - new_width, height - new_height
    if framing.stride is not None:
        spare_x, spare_y = spare_x % framing.stride, spare_y % framing.stride
        spare_x = max(spare_x, min(framing.least_side, width) - new_width)
        spare_y = max(spare_y, min(framing.least_side, height) - new_height)
    left = top = 0
    if placement is Placement.CENTRE:
        left, top = round(spare_x / 2 - 0.1), round(spare_y / 2 - 0.1)
    if (new_width, new_height) != (source_width, source_height):
        resized = cv2.resize(picture, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    else:
        resized = picture
    frame = cv2.copyMakeBorder(
        resized, top, spare_y - top, left, spare_x - left, cv2.BORDER_CONSTANT, value=PADDING
    )
    gain_x, gain_y = new_width / source_width, new_height / source_height
    if placement is Placement.TOP_LEFT:
        gain_x = gain_y = ratio  # YOLOX divides by its ratio, whatever int() took away
    return Placed(
        np.asarray(frame, np.uint8), source_width, source_height, gain_x, gain_y, left, top
    )


def network_input(frame: NDArray[np.generic], convention: InputConvention) -> NDArray[np.float32]:
    """Return float32 ``[1, 3, height, width]`` as the network was trained to see it.

    Args:
        frame: ``[height, width, 3]``, BGR, 0 to 255.
        convention: of the network.
    """
    pixels = frame.astype(np.float32)
    if not convention.bgr:
        pixels = pixels[:, :, ::-1]
    scaled = pixels / np.float32(convention.pixel_scale)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], np.float32)


def in_source_pixels(boxes_xyxy: NDArray[np.float32], placed: Placed) -> NDArray[np.float32]:
    """Return boxes of the frame in source pixels, cut off at the picture's edges.

    Args:
        boxes_xyxy: float32 ``[n, 4]``, frame pixels.
        placed: where the picture lies.
    """
    padding = np.array([placed.left, placed.top], np.float32)
    gain = np.array([placed.gain_x, placed.gain_y], np.float32)
    size = np.array([placed.width, placed.height], np.float32)
    corners = (boxes_xyxy.reshape(-1, 2, 2) - padding) / gain
    return np.clip(corners, np.float32(0), size).reshape(-1, 4)
