"""A PNG whose pixels are all there is read, whatever stands around them.

What a missing guard would do is found by what is handed to OpenCV (tests/fuzz/guards.py): the files
here claim little, and no decoder would take harm from them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from contract import ImageStatus
from PIL import Image

from decode import DecodeLimits, decode_image
from png import END_CHUNK, read_png
from tests import images
from tests.fuzz.guards import guarded
from unreadable import UnreadableImageError

LIMITS = DecodeLimits(max_bytes=64 * 2**20, max_pixels=images.MAX_PIXELS)
PICTURE = images.photograph(24, 16)
WHOLE = images.encoded(PICTURE, ".png")
HEADER = 8 + 12 + 13
BEFORE, BEHIND = WHOLE[:HEADER], WHOLE[-12:]
PIXELS = WHOLE[HEADER:-12]
opencv = cv2.imdecode


@pytest.fixture(autouse=True)
def watched() -> Iterator[None]:
    """OpenCV is handed nothing that would harm it."""
    with guarded():
        yield


def pixels(data: bytes) -> np.ndarray:
    return decode_image(data, LIMITS).bgr


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes().removeprefix(b"Exif\x00\x00")


def chunk(kind: bytes, body: bytes, *, damaged: bool = False) -> bytes:
    whole = images.png_chunk(kind, body)
    return whole[:-1] + bytes([whole[-1] ^ damaged])


OTHERS = {
    "text": chunk(b"tEXt", b"key\0value"),
    "compressed text": chunk(b"zTXt", b"key\0\0" + zlib.compress(b"value" * 99)),
    "two megabytes of text": chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(2**21))),
    "text that does not inflate": chunk(b"zTXt", b"key\0\0not zlib"),
    "international text": chunk(b"iTXt", b"key\0\1\0\0\0" + zlib.compress(b"value")),
    "a profile that is none": chunk(b"iCCP", b"name\0\0" + zlib.compress(b"none")),
    "a resolution that is cut": chunk(b"pHYs", b"\0"),
    "colours that are cut": chunk(b"cHRM", bytes(3)),
    "an animation": chunk(b"acTL", b"\0\0\0\1\0\0\0\0") + chunk(b"fcTL", bytes(26)),
    "a chunk of nobody's": chunk(b"prVt", b"?"),
}


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_pixels_may_be_anything(name: str, damaged: bool) -> None:
    other = OTHERS[name]
    other = other[:-1] + bytes([other[-1] ^ damaged])
    for data in (BEFORE + other + PIXELS + BEHIND, BEFORE + PIXELS + other + BEHIND):
        np.testing.assert_array_equal(pixels(data), PICTURE)


def test_pixels_may_be_interrupted() -> None:
    data = PIXELS[8:-4]
    pieces = [chunk(b"IDAT", part) for part in (data[:100], data[100:])]
    np.testing.assert_array_equal(pixels(BEFORE + OTHERS["text"].join(pieces) + BEHIND), PICTURE)


@pytest.mark.parametrize(
    "end",
    [
        b"",
        END_CHUNK[:7],
        END_CHUNK[:-1] + b"?",
        END_CHUNK + b"anything",
        chunk(b"IEND", b"what no end has"),
        bytes(40),
        b"\x55" * 40,
        OTHERS["text"],
        OTHERS["text"][:9],
    ],
)
def test_the_end_may_be_anything(end: bytes) -> None:
    np.testing.assert_array_equal(pixels(BEFORE + PIXELS + end), PICTURE)


def test_a_plain_file_is_not_copied() -> None:
    assert read_png(WHOLE).plain is WHOLE


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_it_is_turned_by_its_exif_before_the_pixels_or_behind(orientation: int) -> None:
    block = chunk(b"eXIf", exif(orientation))
    for data in (BEFORE + block + PIXELS + BEHIND, BEFORE + PIXELS + block + BEHIND):
        expected = opencv(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(pixels(data), expected)
        assert expected.shape == ((24, 16, 3) if orientation == 6 else (16, 24, 3))


def test_exif_with_the_prefix_of_a_jpeg_is_read_as_pillow_does() -> None:
    block = chunk(b"eXIf", b"Exif\0\0" + exif(6))
    assert pixels(BEFORE + block + PIXELS + BEHIND).shape == (24, 16, 3)


def test_the_first_exif_that_is_whole_counts_as_for_opencv() -> None:
    for first, second, turned in (
        (chunk(b"eXIf", exif(6)), chunk(b"eXIf", exif(1)), True),
        (chunk(b"eXIf", exif(1)), chunk(b"eXIf", exif(6)), False),
        (chunk(b"eXIf", exif(6), damaged=True), b"", False),
        (chunk(b"eXIf", exif(1), damaged=True), chunk(b"eXIf", exif(6)), True),
    ):
        data = BEFORE + first + PIXELS + second + BEHIND
        expected = opencv(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(pixels(data), expected)
        assert (expected.shape == (24, 16, 3)) is turned


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", ["exif", "APP1", "xmp"])
def test_it_is_not_turned_by_texts_as_opencv_does_not(name: str, compressed: bool) -> None:
    """ImageMagick's raw profiles, and XMP; Pillow obeys some of them when it is asked to."""
    block = b"Exif\x00\x00" + exif(6)
    lines = "\n".join(block.hex()[at : at + 72] for at in range(0, 2 * len(block), 72))
    key, value = f"Raw profile type {name}", f"\n{name}\n{len(block):8d}\n{lines}\n"
    if name == "xmp":
        key, value = "XML:com.adobe.xmp", '<rdf:Description tiff:Orientation="6"/>'
    if compressed:
        text = chunk(b"zTXt", key.encode() + b"\0\0" + zlib.compress(value.encode()))
    else:
        text = chunk(b"tEXt", key.encode() + b"\0" + value.encode())
    for data in (BEFORE + text + PIXELS + BEHIND, BEFORE + PIXELS + text + BEHIND):
        expected = opencv(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(pixels(data), expected)
        np.testing.assert_array_equal(expected, PICTURE)


@pytest.mark.parametrize("kind", [b"tEXt", b"prVt"])
def test_a_png_of_nothing_but_chunks_is_refused(kind: bytes) -> None:
    few, many = (BEFORE + chunk(kind, b"a\0b") * count + PIXELS + BEHIND for count in (400, 600))
    np.testing.assert_array_equal(pixels(few), PICTURE)
    refused(many, "too many chunks")


@pytest.mark.parametrize("length", [len(PIXELS) + 1, len(PIXELS) + 1000, 70_000])
def test_pixels_that_claim_more_than_there_is_are_refused(length: int) -> None:
    """OpenCV 4.11 sets aside what a chunk claims, before it looks whether so much is there."""
    refused(BEFORE + length.to_bytes(4, "big") + PIXELS[4:] + BEHIND, "chunk is longer")
    refused(BEFORE + (len(PIXELS) - 11).to_bytes(4, "big") + PIXELS[4:] + BEHIND, "corrupt")
    twice = BEFORE + PIXELS + (99).to_bytes(4, "big") + b"IDAT" + bytes(20)
    refused(twice, "chunk is longer")


@pytest.mark.parametrize("inside", [b"", b"x" * 24])
def test_an_end_before_the_pixels_is_refused(inside: bytes) -> None:
    """OpenCV looks for them behind the end, where nothing was checked."""
    for rest in (PIXELS + BEHIND, OTHERS["a chunk of nobody's"], b"", bytes(9)):
        refused(BEFORE + chunk(b"IEND", inside) + rest, "it ends before its pixels")


def test_pixels_that_are_not_all_there_are_refused() -> None:
    for cut in range(1, len(PIXELS) - 4):
        refused(BEFORE + PIXELS[:-cut], "corrupt")
    data = PIXELS[8:-4]
    for part in (data[: len(data) // 2], data[:-6], b""):
        refused(BEFORE + chunk(b"IDAT", part) + BEHIND, "corrupt")
    refused(BEFORE + chunk(b"IDAT", data, damaged=True) + BEHIND, "corrupt")
    # A chunk that decoders must know: Apple's PNGs have other pixels behind it.
    refused(BEFORE + chunk(b"CgBI", bytes(4)) + PIXELS + BEHIND, "corrupt")
    refused(WHOLE[:8] + PIXELS + BEHIND, "its header is damaged")


def refused(data: bytes, words: str) -> None:
    with pytest.raises(UnreadableImageError, match=words) as error:
        pixels(data)
    assert error.value.status is ImageStatus.CORRUPT
