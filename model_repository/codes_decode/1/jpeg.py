"""What must be known of a JPEG before it is decoded, read from its markers (ITU-T T.81, B)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

EXIF_HEADER = b"Exif\x00\x00"
APP1, START_OF_SCAN, END_OF_IMAGE = 0xE1, 0xDA, 0xD9
# Markers without a length: TEM, the restarts and the start of the image.
STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
# Start-of-frame markers: C0 to CF but DHT, JPG and DAC. libjpeg-turbo reads the sequential and the
# progressive ones, Huffman and arithmetic-coded; not the lossless and the hierarchical.
FRAME_HEADERS = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
PROGRESSIVE = frozenset({0xC2, 0xCA})
DECODED_CODINGS = frozenset({0xC0, 0xC1, 0xC9}) | PROGRESSIVE
SAMPLE_BITS = 8

# A camera writes about ten segments. Whoever writes thousands wants to see a parser suffer.
MAX_SEGMENTS = 500

# Each scan touches every pixel again, and a scan of nothing takes 139 bytes. Ten scans are common;
# a hundred of a small picture, or fifteen of 100 megapixels, are decoded in about a second.
MAX_SCANS = 100
MAX_SCANNED_PIXELS = 1_500_000_000


@dataclass(frozen=True)
class JpegMarkers:
    """What stands before the first scan.

    Attributes:
        exif: the first EXIF block, or None.
        coding: the frame header's marker, or None when there is none.
        sample_bits: bits of a sample; 8 in all but medical and lossless pictures.
        several_scans: whether more scans follow the first one.
        flooded: whether there are more segments than any camera writes.
    """

    exif: bytes | None = None
    coding: int | None = None
    sample_bits: int = SAMPLE_BITS
    several_scans: bool = False
    flooded: bool = False


def read_markers(data: bytes) -> JpegMarkers:
    """Read the segments up to the first scan, as far as they make sense."""
    exif: bytes | None = None
    coding: int | None = None
    sample_bits, frame_components, scan_components, count = SAMPLE_BITS, 0, 0, 0
    for marker, body in _segments(data):
        count += 1
        if marker == APP1 and exif is None and body.startswith(EXIF_HEADER):
            exif = body
        elif marker in FRAME_HEADERS and len(body) > 5:
            coding, sample_bits, frame_components = marker, body[0], body[5]
        elif marker == START_OF_SCAN and body:
            scan_components = body[0]
    return JpegMarkers(
        exif=exif,
        coding=coding,
        sample_bits=sample_bits,
        several_scans=coding in PROGRESSIVE or scan_components < frame_components,
        flooded=count >= MAX_SEGMENTS,
    )


def has_too_many_scans(data: bytes, markers: JpegMarkers, pixels: int) -> bool:
    """Return whether decoding would take out of all proportion to the picture's size."""
    if not markers.several_scans:
        return False
    # In a scan every FF is followed by 00, so this counts markers, and at worst a thumbnail's too.
    scans = data.count(b"\xff\xda")
    return scans > MAX_SCANS or scans * pixels > MAX_SCANNED_PIXELS


def unsupported_coding(markers: JpegMarkers) -> str | None:
    """Return in words why no decoder here reads this kind of JPEG, or None when one should."""
    if markers.coding is not None and markers.coding not in DECODED_CODINGS:
        return "a lossless or hierarchical JPEG"
    if markers.sample_bits != SAMPLE_BITS:
        return f"a JPEG of {markers.sample_bits} bits a sample"
    return None


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 2
    for _ in range(MAX_SEGMENTS):
        if position + 4 > len(data) or data[position] != 0xFF:
            return
        marker = data[position + 1]
        if marker in STANDALONE:
            position += 2
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == END_OF_IMAGE or length < 2:
            return
        yield marker, data[position + 4 : position + 2 + length]
        if marker == START_OF_SCAN:
            return
        position += 2 + length
