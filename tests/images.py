"""Images made on the spot, and every way to break one that the tests know."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

# What the pipelines of tests accept. It is little, so that bombs can be small: no decoder takes
# harm from a file that is over it, should the limit not hold.
MAX_PIXELS = 1_000_000


def photograph(width: int = 320, height: int = 240, seed: int = 0) -> NDArray[np.uint8]:
    """BGR noise, blurred: it compresses like a photograph and has no symmetry."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    blurred = cv2.GaussianBlur(noise, (0, 0), 3)
    return cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX)


def encoded(image: NDArray[Any], extension: str = ".jpg", *flags: int) -> bytes:
    """The image as a file."""
    ok, data = cv2.imencode(extension, image, list(flags))
    assert ok
    return data.tobytes()


def with_pillow(image: Image.Image, image_format: str, **options: Any) -> bytes:
    """A file of a kind that OpenCV does not write."""
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    """An image as Pillow reads it."""
    return Image.open(io.BytesIO(data))


def rgb_image(pixels_bgr: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(cv2.cvtColor(pixels_bgr, cv2.COLOR_BGR2RGB))


def with_orientation(data: bytes, orientation: int) -> bytes:
    """The same JPEG with an EXIF orientation, its scan untouched."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    block = exif.tobytes()
    if not block.startswith(b"Exif\x00\x00"):
        block = b"Exif\x00\x00" + block
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]


def png_chunk(kind: bytes, body: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + checksum


def png(width: int, height: int, rows: bytes, bits: int = 8, colour: int = 2) -> bytes:
    """A PNG whose header need not agree with its rows."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )


def jpeg_with_bits(bits: int) -> bytes:
    """A JPEG whose header claims another number of bits a sample."""
    data = bytearray(encoded(photograph(64, 64)))
    data[data.index(b"\xff\xc0") + 4] = bits
    return bytes(data)


def scan_bomb(scans: int, side: int = 64) -> bytes:
    """A progressive JPEG that repeats its last scan: tiny, and slow to decode."""
    grey = rgb_image(photograph(side, side)).convert("L")
    data = with_pillow(grey, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


def app1_flood(count: int) -> bytes:
    """A CMYK JPEG, which takes the slow way, behind many EXIF segments."""
    data = with_pillow(Image.new("CMYK", (40, 30)), "JPEG")
    return data[:2] + (b"\xff\xe1\x00\x0eExif\x00\x00" + bytes(6)) * count + data[2:]


def jpeg_with_size(width: int, height: int) -> bytes:
    """A small JPEG whose header claims another size."""
    data = bytearray(encoded(photograph(64, 64)))
    frame_header = data.index(b"\xff\xc0")
    data[frame_header + 5 : frame_header + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def bmp_with_size(width: int, height: int) -> bytes:
    data = bytearray(encoded(photograph(32, 32), ".bmp"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def bad_images() -> dict[str, tuple[bytes, str]]:
    """Files that are no image, by name, with the status each must get."""
    jpeg = encoded(photograph())
    scan = jpeg.index(b"\xff\xda")
    png_file = encoded(photograph(), ".png")
    webp = encoded(photograph(), ".webp", cv2.IMWRITE_WEBP_QUALITY, 80)
    bmp = encoded(photograph(), ".bmp")
    rgb = rgb_image(photograph())
    progressive = with_pillow(rgb, "JPEG", progressive=True)
    damaged_scan = bytearray(jpeg)
    damaged_scan[scan + 200 : scan + 202] = b"\xff\xd9"
    flipped_idat = bytearray(png_file)
    flipped_idat[len(png_file) // 2] ^= 0xFF
    bad_checksum = bytearray(png(8, 8, (b"\x00" + bytes(24)) * 8))
    bad_checksum[30] ^= 0xFF
    damaged_webp = bytearray(webp)
    damaged_webp[24:300] = b"\xff" * 276
    cmyk = with_pillow(rgb.convert("CMYK"), "JPEG")
    return {
        "empty": (b"", "EMPTY"),
        "one byte": (b"\xff", "UNSUPPORTED_FORMAT"),
        "text": (b"this is not a picture", "UNSUPPORTED_FORMAT"),
        "html": (b"<html><body>502 Bad Gateway</body></html>", "UNSUPPORTED_FORMAT"),
        "zeros": (bytes(10_000), "UNSUPPORTED_FORMAT"),
        "noise": (np.random.default_rng(1).bytes(10_000), "UNSUPPORTED_FORMAT"),
        "gif": (with_pillow(rgb.convert("P"), "GIF"), "UNSUPPORTED_FORMAT"),
        "tiff": (with_pillow(rgb, "TIFF"), "UNSUPPORTED_FORMAT"),
        "pdf": (b"%PDF-1.7\n" + bytes(100), "UNSUPPORTED_FORMAT"),
        "riff that is no webp": (b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(40), "UNSUPPORTED_FORMAT"),
        "jpeg magic only": (jpeg[:3], "CORRUPT"),
        "jpeg cut in its tables": (jpeg[:100], "CORRUPT"),
        "jpeg cut before its scan": (jpeg[:scan], "CORRUPT"),
        "jpeg cut at the start of its scan": (jpeg[: scan + 20], "CORRUPT"),
        "jpeg cut in the middle": (jpeg[: len(jpeg) // 2], "CORRUPT"),
        "jpeg cut near the end": (jpeg[: int(len(jpeg) * 0.99)], "CORRUPT"),
        "jpeg that ends in the middle of its scan": (bytes(damaged_scan), "CORRUPT"),
        "jpeg with a wrong marker": (jpeg.replace(b"\xff\xc0", b"\xff\x01", 1), "CORRUPT"),
        "jpeg without tables": (jpeg.replace(b"\xff\xdb", b"\xff\xee"), "CORRUPT"),
        "hierarchical jpeg": (jpeg.replace(b"\xff\xc0", b"\xff\xc5", 1), "UNSUPPORTED_PIXELS"),
        "jpeg of 12 bits": (jpeg_with_bits(12), "UNSUPPORTED_PIXELS"),
        "lossless jpeg": (jpeg.replace(b"\xff\xc0", b"\xff\xc3", 1), "UNSUPPORTED_PIXELS"),
        "jpeg with a damaged scan and no end": (bytes(damaged_scan[:-2]), "CORRUPT"),
        "jpeg of a thousand scans": (scan_bomb(1000), "CORRUPT"),
        "jpeg flooded with segments": (app1_flood(2000), "CORRUPT"),
        "jpeg of size zero": (jpeg_with_size(0, 0), "CORRUPT"),
        "jpeg taller than its scan": (jpeg_with_size(64, 6400), "CORRUPT"),
        "jpeg bomb": (jpeg_with_size(1200, 1000), "TOO_MANY_PIXELS"),
        "progressive jpeg cut": (progressive[: len(progressive) // 3], "CORRUPT"),
        "cmyk jpeg cut": (cmyk[: len(cmyk) // 2], "CORRUPT"),
        "png magic only": (png_file[:8], "CORRUPT"),
        "png cut in its header": (png_file[:20], "CORRUPT"),
        "png cut in its data": (png_file[: len(png_file) // 2], "CORRUPT"),
        "png with a damaged stream": (bytes(flipped_idat), "CORRUPT"),
        "png with a bad header checksum": (bytes(bad_checksum), "CORRUPT"),
        "png of size zero": (png(0, 0, b""), "CORRUPT"),
        "png without rows": (png(64, 64, b""), "CORRUPT"),
        "png with half its rows": (png(64, 64, (b"\x00" + bytes(192)) * 32), "CORRUPT"),
        "png bomb": (png(1200, 1000, bytes(1000)), "TOO_MANY_PIXELS"),
        "png with a huge header": (png(2**31 - 1, 2**31 - 1, bytes(10)), "TOO_MANY_PIXELS"),
        "webp magic only": (webp[:12], "CORRUPT"),
        "webp cut": (webp[: len(webp) // 2], "CORRUPT"),
        "webp with a damaged stream": (bytes(damaged_webp), "CORRUPT"),
        "bmp magic only": (b"BM", "CORRUPT"),
        "bmp cut in its header": (bmp[:30], "CORRUPT"),
        "bmp cut in its rows": (bmp[: len(bmp) // 2], "CORRUPT"),
        "bmp of size zero": (bmp_with_size(0, 0), "CORRUPT"),
        "bmp of negative width": (bmp_with_size(-32, 32), "TOO_MANY_PIXELS"),
        "bmp bomb": (bmp_with_size(1200, 1000), "TOO_MANY_PIXELS"),
    }
