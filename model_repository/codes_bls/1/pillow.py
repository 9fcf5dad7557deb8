"""Pillow, set up for files that anyone may have sent.

Imported with the first image that wants it (decode.py): a JPEG from a camera without EXIF does not.
"""

from __future__ import annotations

import io

from PIL import ExifTags, Image, PngImagePlugin

# Limits are checked by decode.py, against what the pipeline was built with.
Image.MAX_IMAGE_PIXELS = None
# Text in a PNG is never read; Pillow would inflate up to 64 MB of it.
PngImagePlugin.MAX_TEXT_MEMORY = 2**20


def open_image(data: bytes, file_format: str) -> Image.Image:
    """Open an image of one format; nothing but its header is read yet.

    Raises:
        Exception: of any kind, whatever a damaged file makes of Pillow's parsers.
    """
    return Image.open(io.BytesIO(data), formats=(file_format,))


def exif_orientation(block: bytes) -> int:
    """Return the orientation in an EXIF block, 1 to 8 where it makes sense; 1 if it has none.

    Raises:
        Exception: likewise.
    """
    exif = Image.Exif()
    exif.load(block)
    orientation = exif.get(ExifTags.Base.Orientation, 1)
    return orientation if isinstance(orientation, int) else 1
