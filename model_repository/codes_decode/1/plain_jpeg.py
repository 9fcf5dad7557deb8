"""A JPEG written anew with nothing but its pixels, for decoders that trip over the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from jpeg import APP0, APP14, FRAME_HEADERS, INKS, TABLES, segment_at

if TYPE_CHECKING:
    from jpeg import JpegHeader
    from jpeg_scans import Scans

START, END = b"\xff\xd8", b"\xff\xd9"
# JFIF's segment says that colours are YCbCr; Adobe's, which transform they went through. libjpeg
# warns of versions and transforms that it does not know and goes on as if they were these.
JFIF, JFIF_BYTES = b"JFIF\x00", 14
JFIF_SEGMENT = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
ADOBE, ADOBE_BYTES = b"Adobe", 12
ADOBE_SEGMENT = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
NO_TRANSFORM, YCC, YCCK = b"\x00", b"\x01", b"\x02"


def plain_jpeg(data: bytes, header: JpegHeader, scans: Scans, left_over: int = 0) -> bytes:
    """Return a JPEG of the same scans, with an end.

    Left out are stray and fill bytes, comments, profiles and all other segments that do not matter
    to the pixels, whatever stands behind the last scan that is to be had, and the zeros at that
    scan's end: cameras pad with them, and libjpeg would count them as damage.

    Args:
        data: the file.
        header: of it.
        scans: of it.
        left_over: bytes that libjpeg did not want at the end of the last scan.
    """
    kept = [START, *_before_scans(data, header), *scans.pieces]
    if scans.pieces:
        kept[-1] = _without_padding(kept[-1], left_over)
    return b"".join((*kept, END))


def _before_scans(data: bytes, header: JpegHeader) -> Iterator[bytes]:
    position = len(START)
    while (segment := segment_at(data, position)) and segment[1] < header.first_scan:
        marker, start, body, position = segment
        if marker in TABLES or marker in FRAME_HEADERS:
            yield data[start:position]
        elif marker == APP0 and _is(JFIF, JFIF_BYTES, data[body:position]):
            yield JFIF_SEGMENT
        elif marker == APP14 and _is(ADOBE, ADOBE_BYTES, data[body:position]):
            transform = data[body + ADOBE_BYTES - 1 : body + ADOBE_BYTES]
            assumed = YCCK if len(header.components) == INKS else YCC
            yield ADOBE_SEGMENT + (transform if transform == NO_TRANSFORM else assumed)


def _is(name: bytes, least: int, body: bytes) -> bool:
    return body.startswith(name) and len(body) >= least


def _without_padding(scan: bytes, left_over: int) -> bytes:
    """Return a scan's data without the zeros at its end, but for those that may be data.

    The last byte of a scan may be zero, and one stands behind an FF that is data. One too many is
    padding that is forgiven. Data that were cut off and filled up with zeros are found out, because
    eight bits do not bring them to their end; but for a picture that lacks no more than something
    of its last group of blocks, which cannot be told from a whole one.
    """
    # FF, when no zero follows, fills.
    scan = scan.rstrip(b"\xff")
    scan = scan[: len(scan) - left_over]
    bare = scan.rstrip(b"\x00")
    zeros = len(scan) - len(bare)
    return bare + bytes(min(zeros, 2 if bare.endswith(b"\xff") else 1))
