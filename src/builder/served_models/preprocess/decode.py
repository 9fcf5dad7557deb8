"""Encoded image bytes to BGR pixels, with every refusal in words.

JPEG, the format cameras send, goes through libjpeg-turbo (simplejpeg): its warnings are heard, so a
truncated frame is refused instead of returned half grey, and the pixels are those of
``cv2.imdecode``. The other formats go through OpenCV itself, which refuses them when damaged. Sizes
are read from the headers first: what is too large is refused before a pixel is decoded.
"""

from __future__ import annotations

import re
import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import simplejpeg
from contract import STATUS_SENTENCES, ImageStatus

from jpeg import JpegMarkers, has_too_many_scans, read_markers, unsupported_coding
from later import must_be_installed
from png import fault_of_chunks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    # Width and height of an upright image to width and height of what is drawn of it.
    DrawnSize = Callable[[int, int], tuple[int, int]]

# Imported, by the module pillow, with the first image that wants it; few do.
must_be_installed("PIL")

MAGIC_NUMBERS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"BM": "BMP",
}
RIFF, WEBP = b"RIFF", b"WEBP"

# Some webcams pad the end of a scan with a few bytes, which libjpeg reports and skips; a longer run
# is what is left over when the bits before it were damaged.
PADDING_WARNING = re.compile(r"(\d+) extraneous bytes before marker")
MAX_PADDING_BYTES = 16

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


class UnreadableImageError(Exception):
    """An image that cannot or may not be decoded.

    Attributes:
        status: the reason, as it stands in ``image_status``.
    """

    def __init__(self, status: ImageStatus, detail: str = "") -> None:
        sentence = STATUS_SENTENCES[status]
        super().__init__(f"{sentence}: {detail}" if detail else sentence)
        self.status = status


@dataclass(frozen=True)
class DecodedImage:
    """The pixels of an image file.

    Attributes:
        bgr: uint8 ``[rows, columns, 3]``, BGR, EXIF rotation applied. Grey and CMYK become colour,
            alpha is dropped, 16-bit samples keep their high byte.
        width: of the upright image in pixels, even where fewer were decoded.
        height: likewise.
    """

    bgr: NDArray[np.uint8]
    width: int
    height: int


def decode_image(
    data: bytes, limits: DecodeLimits, drawn_size: DrawnSize | None = None
) -> DecodedImage:
    """Decode one image file, upright.

    Args:
        data: a JPEG, PNG, WebP or BMP file; of an animation, the first frame.
        limits: what is refused before decoding.
        drawn_size: how large an image of a given width and height will be drawn. Then a JPEG is
            decoded to 1/2, 1/4 or 1/8 of its size where it stays as large as that: libjpeg takes
            the mean of 2x2, 4x4 or 8x8 pixels while it undoes the DCT, and saves the rest.
            Without, every pixel is decoded.

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
        raise UnreadableImageError(ImageStatus.UNSUPPORTED_FORMAT)
    if file_format == "JPEG":
        return _decode_jpeg(data, limits, drawn_size)
    return _whole(_decode_with_opencv(data, file_format, limits))


def _whole(bgr: NDArray[np.uint8]) -> DecodedImage:
    return DecodedImage(bgr, bgr.shape[1], bgr.shape[0])


def format_of(data: bytes) -> str | None:
    """Return the format that a file begins like, as Pillow calls it; None for any other."""
    if data[:4] == RIFF and data[8:12] == WEBP:
        return "WEBP"
    return next((name for magic, name in MAGIC_NUMBERS.items() if data.startswith(magic)), None)


def _check_size(width: int, height: int, limits: DecodeLimits) -> None:
    if width < 1 or height < 1:
        raise UnreadableImageError(ImageStatus.CORRUPT, f"its size is {width}x{height}")
    if width * height > limits.max_pixels:
        raise UnreadableImageError(
            ImageStatus.TOO_MANY_PIXELS,
            f"{width}x{height} where at most {limits.max_pixels} pixels are allowed",
        )


def _turn_for(pixels: int) -> AbstractContextManager[object]:
    return _one_large_image if pixels > LARGE_IMAGE_PIXELS else nullcontext()


def _decode_jpeg(data: bytes, limits: DecodeLimits, drawn_size: DrawnSize | None) -> DecodedImage:
    markers = read_markers(data)
    if coding := unsupported_coding(markers):
        raise UnreadableImageError(ImageStatus.UNSUPPORTED_PIXELS, coding)
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    except (ValueError, KeyError):
        # A cut header, or one that only a slower decoder reads. KeyError is what simplejpeg makes
        # of a subsampling that libjpeg-turbo cannot name.
        return _whole(_decode_odd_jpeg(data, markers, limits))
    _check_size(width, height, limits)
    _check_scans(data, markers, width * height)
    if colorspace not in {"YCbCr", "Gray", "RGB"}:
        return _whole(_decode_odd_jpeg(data, markers, limits))
    orientation = _exif_orientation(markers.exif)
    turned = orientation in QUARTER_TURNED
    upright = (height, width) if turned else (width, height)
    part = 1 if drawn_size is None else _decoded_part(upright, drawn_size(*upright))
    smallest = (-(-width // part), -(-height // part)) if part > 1 else (0, 0)
    with _turn_for(width * height):
        pixels = _jpeg_pixels(data, smallest)
    return DecodedImage(_upright(pixels, orientation), *upright)


def _decoded_part(size: tuple[int, int], drawn: tuple[int, int]) -> int:
    """Return by how much both sides may shrink and still cover what is drawn: 1, 2, 4 or 8."""
    spare = min(size[0] / drawn[0], size[1] / drawn[1])
    return next((part for part in (8, 4, 2) if spare >= part), 1)


def _check_scans(data: bytes, markers: JpegMarkers, pixels: int) -> None:
    if has_too_many_scans(data, markers, pixels):
        raise UnreadableImageError(ImageStatus.CORRUPT, "it has too many scans")


def _jpeg_pixels(data: bytes, smallest: tuple[int, int]) -> NDArray[np.uint8]:
    try:
        return _simplejpeg_pixels(data, smallest, strict=True)
    except ValueError as error:
        padding = PADDING_WARNING.search(str(error))
        if padding is None or int(padding[1]) > MAX_PADDING_BYTES:
            raise UnreadableImageError(ImageStatus.CORRUPT) from None
    try:
        return _simplejpeg_pixels(data, smallest, strict=False)
    except ValueError:
        raise UnreadableImageError(ImageStatus.CORRUPT) from None


def _simplejpeg_pixels(
    data: bytes, smallest: tuple[int, int], *, strict: bool
) -> NDArray[np.uint8]:
    # It decodes to the smallest size it can that is no smaller than this; 0 is the whole picture.
    pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
        data, colorspace="BGR", min_width=smallest[0], min_height=smallest[1], strict=strict
    )
    return pixels


def _decode_odd_jpeg(data: bytes, markers: JpegMarkers, limits: DecodeLimits) -> NDArray[np.uint8]:
    """Decode with Pillow: it knows CMYK, and unlike OpenCV it refuses a truncated file."""
    if markers.flooded:
        raise UnreadableImageError(ImageStatus.CORRUPT, "it has too many segments")
    from pillow import open_image  # noqa: PLC0415 - see above

    try:
        with open_image(data, "JPEG") as image:
            _check_size(image.width, image.height, limits)
            _check_scans(data, markers, image.width * image.height)
            with _turn_for(image.width * image.height):
                rgb = np.asarray(image.convert("RGB"))
    except UnreadableImageError:
        raise
    except Exception:  # noqa: BLE001 - Pillow's parsers raise whatever a damaged file made of them
        raise UnreadableImageError(ImageStatus.CORRUPT) from None
    bgr: NDArray[np.uint8] = np.ascontiguousarray(rgb[:, :, ::-1])
    return _upright(bgr, _exif_orientation(markers.exif))


def _decode_with_opencv(data: bytes, file_format: str, limits: DecodeLimits) -> NDArray[np.uint8]:
    if file_format == "PNG" and (fault := fault_of_chunks(data)):
        raise UnreadableImageError(ImageStatus.CORRUPT, fault)
    width, height, orientation = _header(data, file_format)
    _check_size(width, height, limits)
    with _turn_for(width * height):
        try:
            pixels = cv2.imdecode(
                np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
            )
        except cv2.error:
            pixels = None
    if pixels is None or pixels.shape != (height, width, 3):
        raise UnreadableImageError(ImageStatus.CORRUPT)
    return _upright(pixels, orientation)  # type: ignore[arg-type]


def _header(data: bytes, file_format: str) -> tuple[int, int, int]:
    """Return width, height and EXIF orientation; Pillow decodes nothing before it is asked to."""
    from pillow import open_image  # noqa: PLC0415 - see above

    try:
        with open_image(data, file_format) as image:
            width, height = image.size
            return width, height, _exif_orientation(image.info.get("exif"))
    except Exception:  # noqa: BLE001 - Pillow's parsers raise whatever a damaged file made of them
        raise UnreadableImageError(ImageStatus.CORRUPT) from None


def _exif_orientation(block: bytes | None) -> int:
    """Return the EXIF orientation, 1 to 8 where it makes sense, 1 where there is none."""
    if not block:
        return 1
    from pillow import exif_orientation  # noqa: PLC0415 - see above

    try:
        return exif_orientation(block)
    except Exception:  # noqa: BLE001 - a broken EXIF block must not cost the picture
        return 1


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    rotation, flip = UPRIGHT.get(orientation, (None, None))
    if rotation is not None:
        pixels = cv2.rotate(pixels, rotation)  # type: ignore[assignment]
    if flip is not None:
        pixels = cv2.flip(pixels, flip)  # type: ignore[assignment]
    return pixels
