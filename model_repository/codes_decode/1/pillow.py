"""Pillow, set up for files that anyone may have sent.

Imported with the first image that wants it (decode.py): a JPEG or PNG from a camera does not.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Limits are checked by decode.py, against what the pipeline was built with.
Image.MAX_IMAGE_PIXELS = None


def open_image(data: bytes, file_format: str) -> Image.Image:
    """Open an image of one format; nothing but its header is read yet.

    Raises:
        Exception: of any kind, whatever a damaged file makes of Pillow's parsers.
    """
    return Image.open(io.BytesIO(data), formats=(file_format,))


def bgr_of_jpeg(data: bytes) -> NDArray[np.uint8]:
    """Return the pixels of a JPEG, uint8 ``[rows, columns, 3]``, BGR.

    Raises:
        Exception: likewise.
    """
    with open_image(data, "JPEG") as image:
        return _bgr(image)


def bgr_of_inks(inks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the pixels of a CMYK JPEG as Pillow shows it.

    Args:
        inks: uint8 ``[rows, columns, 4]``, as libjpeg gives them: inverted, as Adobe has it.

    Returns:
        uint8 ``[rows, columns, 3]``, BGR.
    """
    rows, columns = inks.shape[:2]
    return _bgr(Image.frombuffer("CMYK", (columns, rows), inks, "raw", "CMYK;I", 0, 1))


def _bgr(image: Image.Image) -> NDArray[np.uint8]:
    rgb = np.asarray(image.convert("RGB"))
    return np.ascontiguousarray(rgb[:, :, ::-1])
