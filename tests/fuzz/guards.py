"""What decoders must never be handed, told by readers of their own.

A guard that is missing is found by this and not by what a decoder does then: OpenCV 4.11 sets aside
what a PNG's chunk claims, up to 4 GB, looks for pixels behind the end, and inflates every text;
libjpeg decodes as many scans as there are. So a harmless file finds it as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

import decode
import jpeg_pixels

PNG = b"\x89PNG\r\n\x1a\n"
PNG_PIXELS, PNG_END, PNG_TEXTS = b"IDAT", b"IEND", (b"zTXt", b"iTXt", b"iCCP")
# More than any picture of a test has, and fewer than take a second.
MOST_SCANS, MOST_SEGMENTS = 100, 1024
RESTARTS = range(0xD0, 0xD8)
START, END, SCAN = 0xD8, 0xD9, 0xDA
FRAMES = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
PROGRESSIVE = {0xC2, 0xCA}


@contextmanager
def guarded() -> Iterator[None]:
    """Look at everything that OpenCV and simplejpeg are given."""
    imdecode, decode_jpeg = cv2.imdecode, simplejpeg.decode_jpeg

    def watched_imdecode(data: np.ndarray, *rest: Any) -> Any:
        if data.tobytes().startswith(PNG):
            assert_harmless_png(data.tobytes())
        return imdecode(data, *rest)

    def watched_decode_jpeg(data: bytes, **options: Any) -> Any:
        assert_harmless_jpeg(data)
        return decode_jpeg(data, **options)

    with (
        patch.object(decode.cv2, "imdecode", watched_imdecode),
        patch.object(jpeg_pixels.simplejpeg, "decode_jpeg", watched_decode_jpeg),
    ):
        yield


def as_libjpeg_reads(data: bytes) -> NDArray[np.uint8] | None:
    """The pixels of a JPEG that libjpeg reads without a word; None of all others."""
    try:
        assert_harmless_jpeg(data)
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace="BGR")
    except (AssertionError, ValueError):
        return None
    return pixels


def assert_harmless_png(data: bytes) -> None:
    """Check that its chunks are there, pixels before the end, and nothing that inflates."""
    position, seen = len(PNG), set()
    while PNG_END not in seen:
        assert position + 12 <= len(data), "it has no end"
        length, kind = (
            int.from_bytes(data[position : position + 4], "big"),
            data[position + 4 :][:4],
        )
        position += 12 + length
        assert position <= len(data), "a chunk claims more than there is"
        seen.add(kind)
    assert PNG_PIXELS in seen, "it ends before its pixels"
    assert not seen.intersection(PNG_TEXTS), "it has what OpenCV inflates"


def assert_harmless_jpeg(data: bytes) -> None:
    """Check that libjpeg has few scans and segments to read: as T.81, B says, byte by byte."""
    position, segments, scans = 2, 0, 0
    frame: tuple[int, int] | None = None
    while position + 4 <= len(data):
        if data[position] != 0xFF or data[position + 1] in (0, 0xFF):
            position += 1
            continue
        marker = data[position + 1]
        position += 2
        if marker == END:
            break
        if marker in RESTARTS or marker < 0xC0 or marker == START:
            continue
        segments += 1
        length = int.from_bytes(data[position : position + 2], "big")
        if marker in FRAMES and frame is None:
            frame = marker, data[position + 7] if position + 7 < len(data) else 0
        assert segments <= MOST_SEGMENTS, f"it has {segments} segments"
        if marker == SCAN:
            scans += 1
            segments = 0
            in_scan = data[position + 2] if position + 2 < len(data) else 0
            if frame and frame[0] not in PROGRESSIVE and in_scan >= frame[1]:
                break  # libjpeg reads on, and does not decode
        position += max(length, 2)
    assert scans <= MOST_SCANS, f"it has {scans} scans"
