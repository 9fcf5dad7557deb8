"""What must be known of a JPEG before it is decoded, read from its markers (ITU-T T.81, B).

Markers are found as libjpeg-turbo finds them (``read_markers`` in its jdmarker.c): fill bytes
(B.1.1.2) and stray ones before a marker are passed over, segments by their length. So both see the
same picture: what limits hold for here is what is decoded there. What cannot be followed to
the first scan is refused, and so is what libjpeg-turbo would end at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from contract import ImageStatus

from exif import EXIF_HEADER
from unreadable import UnreadableImageError, corrupt

START_OF_IMAGE, END_OF_IMAGE, START_OF_SCAN = 0xD8, 0xD9, 0xDA
APP0, APP1, APP14 = 0xE0, 0xE1, 0xEE
# Huffman tables, arithmetic conditioning, quantisation tables, restart interval.
TABLES = frozenset({0xC4, 0xCC, 0xDB, 0xDD})
# Passed over by their length: a scan's number of lines, APPn, comments.
PASSED_OVER = frozenset({0xDC, *range(0xE0, 0xF0), 0xFE})
# Markers without a length: TEM and the restarts.
STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
# Start-of-frame markers: C0 to CF but DHT, JPG and DAC. libjpeg-turbo's decoder of 8 bits reads the
# sequential and the progressive ones, Huffman and arithmetic-coded; not the lossless and the
# hierarchical, to which JPG, DHP and EXP belong too.
FRAME_HEADERS = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
OTHER_PROCESSES = frozenset({*range(0xC0, 0xD0), 0xDE, 0xDF} - FRAME_HEADERS - TABLES)
PROGRESSIVE, ARITHMETIC = frozenset({0xC2, 0xCA}), frozenset({0xC9, 0xCA})
SAMPLE_BITS, MAX_SAMPLING = 8, 4
GREY, COLOUR, INKS = 1, 3, 4
COMPONENTS = frozenset({GREY, COLOUR, INKS})

SKIPPED = TABLES | PASSED_OVER | STANDALONE
# All others either have no length or end the reading.
WITH_LENGTH = TABLES | PASSED_OVER | FRAME_HEADERS | {START_OF_SCAN}

# What follows FF and makes no marker of it: 00 says that the FF is data, FF that it fills.
NO_MARKER = b"\x00\xff"
NEXT_MARKER = re.compile(rb"\xff([^\x00\xff])")
# A camera writes about ten segments, and a file of 64 MiB that is nothing but the largest ones has
# 1024. Whoever writes more wants to see a parser suffer.
MAX_SEGMENTS = 1024
# Cameras leave a few, up to what a block of memory holds. To look through 64 MiB of FF takes more
# than a second.
MAX_STRAY_BYTES = 2**20


class Component(NamedTuple):
    """A component of the frame: its id and its sampling factors (B.2.2)."""

    number: int
    across: int
    down: int


@dataclass(frozen=True)
class JpegHeader:
    """What stands before the first scan.

    Attributes:
        width: of the picture as it is stored, pixels.
        height: likewise.
        coding: the frame header's marker.
        components: of the frame.
        exif: the first EXIF block, or None.
        first_scan: position of the first scan's marker.
        several_scans: whether more scans follow the first one.
    """

    width: int
    height: int
    coding: int
    components: tuple[Component, ...]
    exif: bytes | None
    first_scan: int
    several_scans: bool


def segment_at(data: bytes, position: int) -> tuple[int, int, int, int] | None:
    """Return the next marker from a position on, and what belongs to it.

    Returns:
        The marker's second byte; positions of its first one, behind all fill; behind its length;
        and behind all of it. None where the file ends before that, or there is none for too long.
    """
    try:
        if data[position] != 0xFF or data[position + 1] in NO_MARKER:
            found = NEXT_MARKER.search(data, position, position + MAX_STRAY_BYTES)
            if found is None:
                return None
            position = found.start()
        marker = data[position + 1]
        body = position + 2
        if marker not in WITH_LENGTH:
            return marker, position, body, body
        # It counts its own two bytes. libjpeg-turbo goes on behind them where it says less.
        end = body + max(data[body] << 8 | data[body + 1], 2)
    except IndexError:
        return None
    return (marker, position, body + 2, end) if end <= len(data) else None


def read_header(data: bytes) -> JpegHeader:
    """Read the segments up to the first scan.

    Raises:
        UnreadableImageError: they do not lead there, or to pictures that no decoder here reads.
    """
    exif: bytes | None = None
    frame: tuple[int, int, int, tuple[Component, ...]] | None = None
    position, stray = 2, 0
    for _ in range(MAX_SEGMENTS):
        segment = segment_at(data, position)
        if segment is None:
            raise corrupt("no first scan can be found in it")
        marker, start, body, end = segment
        stray += start - position
        if stray > MAX_STRAY_BYTES:
            raise corrupt("it has too many bytes between its segments")
        position = end
        if marker == APP1:
            if exif is None and data.startswith(EXIF_HEADER, body, position):
                exif = data[body:position]
        elif marker in SKIPPED:
            continue
        elif marker in FRAME_HEADERS:
            if frame is not None:
                raise corrupt("it has several frame headers")
            frame = (marker, *_frame_header(data[body:position]))
        elif marker == START_OF_SCAN:
            if frame is None:
                raise corrupt("it has no frame header")
            coding, width, height, components = frame
            in_scan = data[body] if position > body else 0
            several = coding in PROGRESSIVE or in_scan < len(components)
            return JpegHeader(width, height, coding, components, exif, start, several)
        elif marker in OTHER_PROCESSES:
            raise UnreadableImageError(
                ImageStatus.UNSUPPORTED_PIXELS, "a lossless or hierarchical JPEG"
            )
        else:
            raise corrupt(f"it has the marker FF {marker:02X} before its first scan")
    raise corrupt("it has too many segments")


def _frame_header(body: bytes) -> tuple[int, int, tuple[Component, ...]]:
    """Return width, height and components (B.2.2)."""
    count = body[5] if len(body) > 5 else 0
    if not count or len(body) != 6 + 3 * count:
        raise corrupt("its frame header is damaged")
    if body[0] != SAMPLE_BITS:
        raise UnreadableImageError(
            ImageStatus.UNSUPPORTED_PIXELS, f"a JPEG of {body[0]} bits a sample"
        )
    height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    components = tuple(
        [Component(body[at], body[at + 1] >> 4, body[at + 1] & 15) for at in range(6, len(body), 3)]
    )
    if count not in COMPONENTS:
        raise UnreadableImageError(ImageStatus.UNSUPPORTED_PIXELS, f"a JPEG of {count} components")
    if not all(
        1 <= each.across <= MAX_SAMPLING and 1 <= each.down <= MAX_SAMPLING for each in components
    ):
        raise corrupt("its frame header is damaged")
    return width, height, components
