"""Forty ways to damage an image; each makes another file for every random generator.

Bombs are small, because the limits of the drill's pipeline are: none would harm a decoder by
itself.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

from tests import images

Random = np.random.Generator
Kind = Callable[[Random], bytes]


def photograph(random: Random) -> np.ndarray:
    """A picture of its own size."""
    width, height = (int(side) for side in random.integers(48, 200, 2))
    return images.photograph(width, height, int(random.integers(2**31)))


def jpeg(random: Random) -> bytes:
    """A good JPEG."""
    quality = int(random.integers(40, 96))
    return images.encoded(photograph(random), ".jpg", cv2.IMWRITE_JPEG_QUALITY, quality)


def png(random: Random) -> bytes:
    """A good PNG."""
    return images.encoded(photograph(random), ".png")


def webp(random: Random) -> bytes:
    """A good WebP."""
    return images.encoded(photograph(random), ".webp", cv2.IMWRITE_WEBP_QUALITY, 80)


def bmp(random: Random) -> bytes:
    """A good BMP."""
    return images.encoded(photograph(random), ".bmp")


def progressive(random: Random) -> bytes:
    """A good progressive JPEG."""
    return images.with_pillow(images.rgb_image(photograph(random)), "JPEG", progressive=True)


def cmyk(random: Random) -> bytes:
    """A good JPEG of four inks."""
    return images.with_pillow(images.rgb_image(photograph(random)).convert("CMYK"), "JPEG")


def deep(random: Random) -> bytes:
    """A good PNG of 16 bits."""
    return images.encoded(photograph(random).astype(np.uint16) * 257, ".png")


def interlaced(random: Random) -> bytes:
    """A PNG that says it is interlaced, and is not."""
    return _patched(png(random), 28, b"\x01", checksum=True)


GOOD = {"jpeg": jpeg, "png": png, "webp": webp, "bmp": bmp, "progressive": progressive}


def cut(source: Kind, lowest: float, highest: float) -> Kind:
    """Cut off the end, somewhere between two shares of the file."""

    def damage(random: Random) -> bytes:
        data = source(random)
        return data[: int(len(data) * random.uniform(lowest, highest))]

    return damage


def without_last(source: Kind) -> Kind:
    """Leave out the end of the image, and the last few bytes of its data."""

    def damage(random: Random) -> bytes:
        return source(random)[: -int(random.integers(3, 8))]

    return damage


def flipped(source: Kind, lowest: float, highest: float, bits: int) -> Kind:
    """Flip some bits between two shares of the file."""

    def damage(random: Random) -> bytes:
        data = bytearray(source(random))
        for _ in range(bits):
            data[int(len(data) * random.uniform(lowest, highest))] ^= 1 << int(random.integers(8))
        return bytes(data)

    return damage


def blanked(source: Kind, value: int) -> Kind:
    """Write one value over a run of bytes, as a bad sector does."""

    def damage(random: Random) -> bytes:
        data = source(random)
        at, count = int(random.integers(20, len(data) // 2)), int(random.integers(16, 512))
        return data[:at] + bytes([value]) * count + data[at + count :]

    return damage


def segment(marker: int, offset: int, count: int) -> Kind:
    """Write noise into a JPEG's segment, from so many bytes behind its marker."""

    def damage(random: Random) -> bytes:
        data = jpeg(random)
        at = data.index(bytes([0xFF, marker])) + offset
        return data[:at] + random.bytes(count) + data[at + count :]

    return damage


def claimed_size(random: Random) -> bytes:
    """A JPEG of more pixels than there are, and than are allowed."""
    return images.jpeg_with_size(*(int(side) for side in random.integers(1100, 3000, 2)))


def no_size(random: Random) -> bytes:
    """A JPEG without pixels."""
    return images.jpeg_with_size(int(random.integers(2)), 0)


def taller_than_it_is(random: Random) -> bytes:
    """A JPEG whose scan ends long before its picture."""
    return images.jpeg_with_size(64, int(random.integers(1000, 10_000)))


def other_depth(random: Random) -> bytes:
    """A JPEG that claims 12 bits, or what nobody has."""
    return images.jpeg_with_bits(int(random.choice([1, 4, 12, 16, 255])))


def other_process(random: Random) -> bytes:
    """A JPEG that claims to be lossless, hierarchical or arithmetic."""
    marker = bytes([0xFF, int(random.choice([0xC3, 0xC5, 0xC6, 0xC9, 0xCB, 0xCF]))])
    return jpeg(random).replace(b"\xff\xc0", marker, 1)


def many_scans(random: Random) -> bytes:
    """A progressive JPEG that repeats its last scan hundreds of times."""
    return images.scan_bomb(int(random.integers(200, 1200)))


def many_segments(random: Random) -> bytes:
    """A JPEG flooded with EXIF segments."""
    return images.app1_flood(int(random.integers(1100, 3000)))


def exif(random: Random, block: bytes, length: int | None = None) -> bytes:
    """A JPEG with an EXIF block, whose length may be a lie."""
    data = jpeg(random)
    size = len(block) + 2 if length is None else length
    return data[:2] + b"\xff\xe1" + struct.pack(">H", size) + block + data[2:]


def exif_noise(random: Random) -> bytes:
    """EXIF that is noise; some of it is a picture all the same."""
    return exif(random, b"Exif\x00\x00" + random.bytes(int(random.integers(1, 400))))


def exif_length(random: Random) -> bytes:
    """EXIF that claims another length."""
    return exif(random, b"Exif\x00\x00MM\x00*" + bytes(20), int(random.integers(0, 65_536)))


def exif_circle(random: Random) -> bytes:
    """EXIF whose directory is the next after itself, with an orientation that is none."""
    value = int(random.integers(9, 65_536))
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, value, 0)
    directory = struct.pack(">H", 1) + entry + struct.pack(">I", 8)
    return exif(random, b"Exif\x00\x00MM\x00*\x00\x00\x00\x08" + directory)


def two_halves(random: Random) -> bytes:
    """The beginning of one JPEG and the end of another."""
    first, second = jpeg(random), jpeg(random)
    return first[: len(first) // 2] + second[len(second) // 2 :]


def png_bomb(random: Random) -> bytes:
    """A PNG of a few kilobytes that unpacks to megabytes, more than are allowed."""
    side = int(random.integers(1100, 3000))
    return images.png(side, side, bytes(2**22))


def png_header(random: Random) -> bytes:
    """A PNG whose header has a size that nobody can have."""
    sides = [int(side) for side in random.integers(2**30, 2**31, 2)]
    return images.png(*sides, bytes(10))


def png_without_size(random: Random) -> bytes:
    """A PNG without pixels."""
    return images.png(0, int(random.integers(0, 100)), b"")


def png_rows(random: Random) -> bytes:
    """A PNG of which rows are missing."""
    rows = int(random.integers(0, 60))
    return images.png(64, 64, (b"\x00" + bytes(192)) * rows)


def png_checksum(random: Random) -> bytes:
    """A PNG whose header's checksum is wrong."""
    return _patched(png(random), 29, random.bytes(4))


def png_chunk(random: Random) -> bytes:
    """A PNG whose first chunk of pixels claims another length, up to twice the file's."""
    data = png(random)
    at = data.index(b"IDAT") - 4
    return data[:at] + struct.pack(">I", int(random.integers(2 * len(data)))) + data[at + 4 :]


def png_palette(random: Random) -> bytes:
    """A PNG of colours from a palette that it does not have."""
    return images.png(16, 16, (b"\x00" + random.bytes(16)) * 16, colour=3)


def png_kind(random: Random) -> bytes:
    """A PNG of a depth and colour type that do not exist."""
    return _patched(png(random), 24, random.bytes(2), checksum=True)


def riff_length(random: Random) -> bytes:
    """A WebP that claims another length."""
    return _patched(webp(random), 4, struct.pack("<I", int(random.integers(2**32))))


def webp_canvas(random: Random) -> bytes:
    """A WebP that claims a canvas of 2**11 pixels or more a side."""
    canvas = struct.pack("<I", int(random.integers(2**11, 2**13)))[:3] * 2
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + canvas + webp(random)[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bmp_size(random: Random) -> bytes:
    """A BMP that claims another size, large or negative."""
    width, height = (int(side) for side in random.integers(-(2**12), 2**12, 2))
    return _patched(bmp(random), 18, struct.pack("<ii", width, height))


def bmp_header(random: Random) -> bytes:
    """A BMP whose offsets, planes and bits a pixel are noise."""
    return _patched(bmp(random), 10, random.bytes(44))


def nothing(random: Random) -> bytes:
    """No byte, or only zeros."""
    return bytes(int(random.choice([0, 0, 1, 100, 10_000])))


def noise(random: Random) -> bytes:
    """Noise."""
    return random.bytes(int(random.integers(1, 20_000)))


def other_format(random: Random) -> bytes:
    """What is no picture, or one that is not accepted."""
    rgb = images.rgb_image(photograph(random))
    return (
        b"<html><body>502 Bad Gateway</body></html>",
        b"%PDF-1.7\n" + random.bytes(100),
        b"RIFF\x24\x00\x00\x00WAVEfmt " + random.bytes(40),
        images.with_pillow(rgb.convert("P"), "GIF"),
        images.with_pillow(rgb, "TIFF"),
        images.with_pillow(Image.new("L", (16, 16)), "PPM"),
    )[int(random.integers(6))]


def wrong_magic(random: Random) -> bytes:
    """A picture behind the first bytes of another format."""
    data = (jpeg, png, webp, bmp)[int(random.integers(4))](random)
    return (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM")[int(random.integers(3))] + data[8:]


def too_many_bytes(random: Random) -> bytes:
    """A good JPEG, and behind it more bytes than a file may have."""
    return jpeg(random) + bytes(2**20)


KINDS: dict[str, Kind] = {
    "jpeg cut in its tables": cut(jpeg, 0.0, 0.1),
    "jpeg cut in its scan": cut(jpeg, 0.3, 0.98),
    "jpeg without its last bytes": without_last(jpeg),
    "jpeg with a flipped bit in its tables": flipped(jpeg, 0.0, 0.1, 1),
    "jpeg with flipped bits in its scan": flipped(jpeg, 0.3, 1.0, 16),
    "jpeg with a blank sector": blanked(jpeg, 0x00),
    "jpeg with a sector of markers": blanked(jpeg, 0xFF),
    "jpeg with wrong quantisation tables": segment(0xDB, 2, 24),
    "jpeg with wrong Huffman tables": segment(0xC4, 4, 24),
    "jpeg with wrong components": segment(0xC0, 9, 10),
    "jpeg with a wrong start of scan": segment(0xDA, 2, 10),
    "jpeg bomb": claimed_size,
    "jpeg of size zero": no_size,
    "jpeg taller than its scan": taller_than_it_is,
    "jpeg of another depth": other_depth,
    "jpeg of another process": other_process,
    "jpeg of two halves": two_halves,
    "jpeg with noise for EXIF": exif_noise,
    "jpeg with a wrong length of EXIF": exif_length,
    "jpeg with EXIF in a circle": exif_circle,
    "jpeg flooded with segments": many_segments,
    "progressive jpeg cut": cut(progressive, 0.1, 0.95),
    "progressive jpeg of many scans": many_scans,
    "cmyk jpeg cut": cut(cmyk, 0.1, 0.95),
    "cmyk jpeg with flipped bits": flipped(cmyk, 0.0, 1.0, 8),
    "png cut": cut(png, 0.0, 0.98),
    "png with flipped bits": flipped(png, 0.1, 1.0, 4),
    "png bomb": png_bomb,
    "png with a huge header": png_header,
    "png of size zero, or rows missing": lambda random: (
        png_rows(random) if random.integers(2) else png_without_size(random)
    ),
    "png with a bad checksum or chunk": lambda random: (
        png_checksum(random) if random.integers(2) else png_chunk(random)
    ),
    "png without its palette, or of no kind": lambda random: (
        png_palette(random) if random.integers(2) else png_kind(random)
    ),
    "png of 16 bits cut": cut(deep, 0.1, 0.95),
    "png that is not interlaced": interlaced,
    "webp cut, or of another length": lambda random: (
        cut(webp, 0.0, 0.95)(random) if random.integers(2) else riff_length(random)
    ),
    "webp with flipped bits or a huge canvas": lambda random: (
        flipped(webp, 0.1, 1.0, 8)(random) if random.integers(2) else webp_canvas(random)
    ),
    "bmp cut, or of another size": lambda random: (
        cut(bmp, 0.0, 0.95)(random) if random.integers(2) else bmp_size(random)
    ),
    "bmp with noise for a header": bmp_header,
    "nothing, noise or no picture": lambda random: (nothing, noise, other_format)[
        int(random.integers(3))
    ](random),
    "the wrong magic, or too many bytes": lambda random: (
        wrong_magic(random) if random.integers(4) else too_many_bytes(random)
    ),
}

# Of these no file is a whole picture by chance: one that is read as if it were is misread.
CERTAIN = frozenset(
    {
        "jpeg cut in its tables",
        "jpeg cut in its scan",
        "jpeg without its last bytes",
        "jpeg bomb",
        "jpeg of size zero",
        "jpeg taller than its scan",
        "jpeg of another depth",
        "jpeg flooded with segments",
        "progressive jpeg cut",
        "progressive jpeg of many scans",
        "cmyk jpeg cut",
        "png cut",
        "png bomb",
        "png with a huge header",
        "png of size zero, or rows missing",
        "png of 16 bits cut",
    }
)


def _patched(data: bytes, at: int, value: bytes, *, checksum: bool = False) -> bytes:
    """Write a value into a file; into a PNG's header with a checksum that is right again."""
    patched = data[:at] + value + data[at + len(value) :]
    if checksum:
        patched = patched[:29] + struct.pack(">I", zlib.crc32(patched[12:29])) + patched[33:]
    return patched
