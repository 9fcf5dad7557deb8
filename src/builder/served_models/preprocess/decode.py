"""Encoded image bytes to BGR pixels, with every refusal in words.

A picture whose pixels are all there is read, whatever stands around them; one whose pixels are not
all there is refused, unless what is left of a JPEG is asked for. JPEG, the format that cameras
send, goes through libjpeg-turbo (jpeg_pixels.py), the others through OpenCV, which refuses them
when damaged. Sizes and scans are read from the headers first: what is too large is refused before
a pixel is decoded. docs/pictures.md has all of it as a table.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from contract import ImageStatus

from exif import orientation_of
from formats import format_of, refused_format
from jpeg import read_header
from jpeg_pixels import jpeg_pixels
from later import must_be_installed
from png import read_png
from unreadable import UnreadableImageError, corrupt

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    # Width and height of an upright image to width and height of what is drawn of it.
    DrawnSize = Callable[[int, int], tuple[int, int]]

# Imported, by the module pillow, with the first image that wants it; few do: WebP, BMP, and JPEGs
# in CMYK or with odd chroma.
must_be_installed("PIL")

# One picture of this size takes some hundred megabytes to decode; several at once are not let in.
LARGE_IMAGE_PIXELS = 25_000_000
_one_large_image = threading.Lock()

# cv2.rotate codes and flips that bring each EXIF orientation upright (EXIF 2.32, tag 0x0112).
UPRIGHT: dict[int, tuple[int | None, int | None]] = {
    2: (None, 1),
    3: (cv2.ROTATE_180, None),
    4: (None, 0),
    5: (cv2.ROTATE_90_CLOCKWISE, 1),
    6: (cv2.ROTATE_90_CLOCKWISE, None),
    7: (cv2.ROTATE_90_COUNTERCLOCKWISE, 1),
    8: (cv2.ROTATE_90_COUNTERCLOCKWISE, None),
}
QUARTER_TURNED = frozenset({5, 6, 7, 8})


@dataclass(frozen=True)
class DecodeLimits:
    """The largest file, in bytes, and the largest image, in pixels, that are decoded."""

    max_bytes: int
    max_pixels: int


@dataclass(frozen=True)
class DecodedImage:
    """The pixels of an image file.

    Attributes:
        bgr: uint8 ``[rows, columns, 3]``, BGR, EXIF rotation applied. Grey and CMYK become colour,
            alpha is dropped, 16-bit samples keep their high byte.
        width: of the upright image in pixels, even where fewer were decoded.
        height: likewise.
        damaged: whether pixels are missing or wrong.
    """

    bgr: NDArray[np.uint8]
    width: int
    height: int
    damaged: bool = False


def decode_image(
    data: bytes,
    limits: DecodeLimits,
    drawn_size: DrawnSize | None = None,
    *,
    accept_damaged: bool = False,
) -> DecodedImage:
    """Decode one image file, upright.

    Args:
        data: a JPEG, PNG, WebP or BMP file; of an animation, the first frame.
        limits: what is refused before decoding.
        drawn_size: how large an image of a given width and height will be drawn. Then a JPEG is
            decoded to 1/2, 1/4 or 1/8 of its size where it stays as large as that: libjpeg takes
            the mean of 2x2, 4x4 or 8x8 pixels while it undoes the DCT, and saves the rest.
            Without, every pixel is decoded.
        accept_damaged: whether what can be decoded of a damaged JPEG will do.

    Raises:
        UnreadableImageError: the file is empty, in another format, damaged or over a limit.
    """
    if not data:
        raise UnreadableImageError(ImageStatus.EMPTY)
    if len(data) > limits.max_bytes:
        raise UnreadableImageError(
            ImageStatus.TOO_MANY_BYTES,
            f"{len(data)} bytes where at most {limits.max_bytes} are allowed",
        )
    file_format = format_of(data)
    if file_format is None:
        name = refused_format(data)
        raise UnreadableImageError(
            ImageStatus.UNSUPPORTED_FORMAT,
            f"this is {name}; the pipeline reads JPEG, PNG, WebP and BMP" if name else "",
        )
    if file_format == "JPEG":
        return _decode_jpeg(data, limits, drawn_size, accept_damaged=accept_damaged)
    return _decode_with_opencv(data, file_format, limits)


def upright_size(data: bytes, limits: DecodeLimits) -> tuple[int, int] | None:
    """Return width and height that :func:`decode_image` would give an image, from its headers.

    None where it would refuse the image before decoding it.
    """
    try:
        file_format = None if len(data) > limits.max_bytes else format_of(data)
        if file_format is None:
            return None
        if file_format == "JPEG":
            jpeg = read_header(data)
            width, height, exif = jpeg.width, jpeg.height, jpeg.exif
        elif file_format == "PNG":
            png = read_png(data)
            width, height, exif = png.width, png.height, png.exif
        else:
            width, height, exif = _header(data, file_format)
        _check_size(width, height, limits)
        turned = orientation_of(exif) in QUARTER_TURNED
    except UnreadableImageError:
        return None
    return (height, width) if turned else (width, height)


def _check_size(width: int, height: int, limits: DecodeLimits) -> None:
    if width < 1 or height < 1:
        raise corrupt(f"its size is {width}x{height}")
    if width * height > limits.max_pixels:
        raise UnreadableImageError(
            ImageStatus.TOO_MANY_PIXELS,
            f"{width}x{height} where at most {limits.max_pixels} pixels are allowed",
        )


def _turn_for(pixels: int) -> AbstractContextManager[object]:
    return _one_large_image if pixels > LARGE_IMAGE_PIXELS else nullcontext()


def _decode_jpeg(
    data: bytes, limits: DecodeLimits, drawn_size: DrawnSize | None, *, accept_damaged: bool
) -> DecodedImage:
    header = read_header(data)
    width, height = header.width, header.height
    _check_size(width, height, limits)
    orientation = orientation_of(header.exif)
    turned = orientation in QUARTER_TURNED
    upright = (height, width) if turned else (width, height)
    part = 1 if drawn_size is None else _decoded_part(upright, drawn_size(*upright))
    smallest = (-(-width // part), -(-height // part)) if part > 1 else (0, 0)
    with _turn_for(width * height):
        pixels, damaged = jpeg_pixels(data, header, smallest, accept_damaged=accept_damaged)
    return DecodedImage(_upright(pixels, orientation), *upright, damaged)


def _decoded_part(size: tuple[int, int], drawn: tuple[int, int]) -> int:
    """Return by how much both sides may shrink and still cover what is drawn: 1, 2, 4 or 8."""
    spare = min(size[0] / drawn[0], size[1] / drawn[1])
    return next((part for part in (8, 4, 2) if spare >= part), 1)


def _decode_with_opencv(data: bytes, file_format: str, limits: DecodeLimits) -> DecodedImage:
    if file_format == "PNG":
        png = read_png(data)
        width, height, exif, data = png.width, png.height, png.exif, png.plain
    else:
        width, height, exif = _header(data, file_format)
    _check_size(width, height, limits)
    with _turn_for(width * height):
        try:
            pixels = cv2.imdecode(
                np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
            )
        except cv2.error:
            pixels = None
    if pixels is None or pixels.shape != (height, width, 3):
        raise corrupt()
    bgr = _upright(pixels, orientation_of(exif))  # type: ignore[arg-type]
    return DecodedImage(bgr, bgr.shape[1], bgr.shape[0])


def _header(data: bytes, file_format: str) -> tuple[int, int, bytes | None]:
    """Return width, height and EXIF block; Pillow decodes nothing before it is asked to."""
    from pillow import open_image  # noqa: PLC0415 - see above

    try:
        with open_image(data, file_format) as image:
            return *image.size, image.info.get("exif")
    except Exception:  # noqa: BLE001 - Pillow's parsers raise whatever a damaged file made of them
        raise corrupt() from None


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    rotation, flip = UPRIGHT.get(orientation, (None, None))
    if rotation is not None:
        pixels = cv2.rotate(pixels, rotation)  # type: ignore[assignment]
    if flip is not None:
        pixels = cv2.flip(pixels, flip)  # type: ignore[assignment]
    return pixels
