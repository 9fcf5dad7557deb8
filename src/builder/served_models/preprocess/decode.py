"""Encoded image bytes to BGR pixels, with every refusal in words.

JPEG, the format cameras send, goes through libjpeg-turbo (simplejpeg): its header costs about a
microsecond, so an image that is too large is refused before a pixel is decoded, and its warnings
are heard, so a truncated frame is refused instead of returned half grey. The pixels are those of
``cv2.imdecode``. Everything else goes through Pillow, which refuses damaged files in all formats.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import simplejpeg
from contract import STATUS_SENTENCES, ImageStatus
from PIL import ExifTags, Image, PngImagePlugin

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Limits are checked here, by decode_bgr, against what the pipeline was built with.
Image.MAX_IMAGE_PIXELS = None
# Text in a PNG is never read; Pillow would inflate up to 64 MB of it.
PngImagePlugin.MAX_TEXT_MEMORY = 2**20

PILLOW_FORMATS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"BM": "BMP",
}
RIFF, WEBP = b"RIFF", b"WEBP"

# Modes that Pillow turns into RGB without losing range. Alpha is dropped, as cv2.imread drops it.
RGB_READY_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
SIXTEEN_BIT_GREY_MODES = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})

# Some webcams pad the end of a scan with a few bytes, which libjpeg reports and skips; a longer run
# is what is left over when the bits before it were damaged.
PADDING_WARNING = re.compile(r"(\d+) extraneous bytes before marker")
MAX_PADDING_BYTES = 16

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


def decode_bgr(data: bytes, limits: DecodeLimits) -> NDArray[np.uint8]:
    """Decode one image file, upright.

    Args:
        data: a JPEG, PNG, WebP or BMP file; of an animation, the first frame.
        limits: what is refused before decoding.

    Returns:
        uint8 ``[height, width, 3]``, BGR, EXIF rotation applied. Grey and CMYK become colour, alpha
        is dropped, 16-bit samples keep their high byte.

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
    image_format = _format_of(data)
    if image_format is None:
        raise UnreadableImageError(ImageStatus.UNSUPPORTED_FORMAT)
    if image_format == "JPEG":
        return _decode_jpeg(data, limits)
    return _decode_with_pillow(data, image_format, limits)


def _format_of(data: bytes) -> str | None:
    if data[:4] == RIFF and data[8:12] == WEBP:
        return "WEBP"
    return next((name for magic, name in PILLOW_FORMATS.items() if data.startswith(magic)), None)


def _check_size(width: int, height: int, limits: DecodeLimits) -> None:
    if width < 1 or height < 1:
        raise UnreadableImageError(ImageStatus.CORRUPT, f"its size is {width}x{height}")
    if width * height > limits.max_pixels:
        raise UnreadableImageError(
            ImageStatus.TOO_MANY_PIXELS,
            f"{width}x{height} where at most {limits.max_pixels} pixels are allowed",
        )


def _decode_jpeg(data: bytes, limits: DecodeLimits) -> NDArray[np.uint8]:
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    except (ValueError, KeyError):
        # A cut header, or one that only a slower decoder reads. KeyError is what simplejpeg makes
        # of a subsampling that libjpeg-turbo cannot name.
        return _decode_with_pillow(data, "JPEG", limits)
    _check_size(width, height, limits)
    if colorspace not in {"YCbCr", "Gray", "RGB"}:
        return _decode_with_pillow(data, "JPEG", limits)
    return _upright(_jpeg_pixels(data), _jpeg_orientation(data))


def _jpeg_pixels(data: bytes) -> NDArray[np.uint8]:
    try:
        return _simplejpeg_pixels(data, strict=True)
    except ValueError as error:
        padding = PADDING_WARNING.search(str(error))
        if padding is None or int(padding[1]) > MAX_PADDING_BYTES:
            raise UnreadableImageError(ImageStatus.CORRUPT) from None
    try:
        return _simplejpeg_pixels(data, strict=False)
    except ValueError:
        raise UnreadableImageError(ImageStatus.CORRUPT) from None


def _simplejpeg_pixels(data: bytes, *, strict: bool) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace="BGR", strict=strict)
    return pixels


def _jpeg_orientation(data: bytes) -> int:
    # Most camera frames carry no EXIF block, and a search for one is a thousandth of a decode.
    if b"Exif\x00\x00" not in data:
        return 1
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            return _orientation(image)
    except Exception:  # noqa: BLE001 - a broken EXIF block must not cost the picture
        return 1


def _orientation(image: Image.Image) -> int:
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    return orientation if isinstance(orientation, int) else 1


def _decode_with_pillow(data: bytes, image_format: str, limits: DecodeLimits) -> NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(data), formats=(image_format,)) as image:
            _check_size(image.width, image.height, limits)
            pixels = _bgr_pixels(image)
            return _upright(pixels, _orientation(image))
    except UnreadableImageError:
        raise
    except Exception:  # noqa: BLE001 - Pillow's parsers raise whatever a damaged file made of them
        raise UnreadableImageError(ImageStatus.CORRUPT) from None


def _bgr_pixels(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode in RGB_READY_MODES:
        rgb = np.asarray(image.convert("RGB"))
        return cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)  # type: ignore[return-value]
    if image.mode in SIXTEEN_BIT_GREY_MODES or image.mode == "I":
        grey = (np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)
        return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)  # type: ignore[return-value]
    raise UnreadableImageError(ImageStatus.UNSUPPORTED_PIXELS, f"Pillow mode {image.mode}")


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    rotation, flip = UPRIGHT.get(orientation, (None, None))
    if rotation is not None:
        pixels = cv2.rotate(pixels, rotation)  # type: ignore[assignment]
    if flip is not None:
        pixels = cv2.flip(pixels, flip)  # type: ignore[assignment]
    return pixels
