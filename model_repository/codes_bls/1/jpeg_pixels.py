"""A JPEG's pixels, and whether all of them are there.

simplejpeg has libjpeg-turbo, with the pixels of ``cv2.imdecode``, and passes its warnings on: the
first one, and those about the header as errors. What most cameras send is decoded as it is. What it
complains of is written anew without all that is not pixels; the complaint that is left then
is about the scans.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import simplejpeg

from jpeg import ARITHMETIC, INKS, JpegHeader
from jpeg_scans import Scans, read_scans
from plain_jpeg import END, plain_jpeg
from unreadable import corrupt

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What libjpeg-turbo says of the data of a scan; all else that it warns of is not about pixels.
SCAN_FAULT = re.compile(
    "premature end of data segment|bad Huffman code|bad arithmetic code|instead of RST"
    "|Inconsistent progression"
)
# Some webcams pad the end of the last scan with a few bytes, which libjpeg reports and skips; a
# longer run is what is left over when the bits before it were damaged.
PADDING = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
MAX_PADDING_BYTES = 16
UNKNOWN_SUBSAMPLING = "Could not determine subsampling"

# libjpeg-turbo keeps every APP2 segment that it meets in memory, behind the scan too, where one of
# nothing takes four bytes of the file and a hundred of memory. In so many bytes they are harmless.
HARMLESS_BYTES = 2**20
APP2_AS_NUMBER = 0xE2FF  # its two bytes, little-endian


def jpeg_pixels(
    data: bytes, header: JpegHeader, smallest: tuple[int, int], *, accept_damaged: bool
) -> tuple[NDArray[np.uint8], bool]:
    """Decode a JPEG whose header was read.

    Args:
        data: the file.
        header: of it.
        smallest: width and height that the picture may be scaled down to while it is decoded, in
            the steps that libjpeg-turbo has; zeros for all of its pixels.
        accept_damaged: whether what can be decoded of a damaged one will do.

    Returns:
        Pixels, uint8 ``[rows, columns, 3]``, BGR; and whether the picture is damaged.

    Raises:
        UnreadableImageError: it is damaged; or nothing of it can be decoded, or it takes too long.
    """
    ordinary = not header.several_scans and header.coding not in ARITHMETIC
    scans = None if ordinary else read_scans(data, header)
    said = ""
    if _is_usual(data, header) if scans is None else _are_whole(scans):
        try:
            return _decoded(data, header, smallest, strict=True), False
        except ValueError as error:
            said = str(error)
    scans = scans or read_scans(data, header)
    plain = plain_jpeg(data, header, scans, _padding(said))
    if _may_be_whole(header, scans) and not SCAN_FAULT.search(said):
        try:
            return _decoded(plain, header, smallest, strict=True), False
        except ValueError as error:
            said = str(error)
        if UNKNOWN_SUBSAMPLING in said and scans.ended:
            return _with_pillow(plain), False
        if padding := _padding(said):
            # What libjpeg-turbo says behind its first warning it keeps to itself.
            without = plain[: -len(END) - padding] + END
            try:
                return _decoded(without, header, smallest, strict=True), False
            except ValueError:
                pass
    if not accept_damaged or not scans.data_bytes:
        raise corrupt("a component has no scan" if scans.ended and scans.lacking else "")
    try:
        return _decoded(plain, header, smallest, strict=False), True
    except ValueError:
        raise corrupt() from None


def _padding(said: str) -> int:
    """Return how many bytes are left over behind the last scan, where so few are forgiven."""
    padding = PADDING.search(said)
    count = int(padding[1]) if padding else 0
    return count if count <= MAX_PADDING_BYTES else 0


def _is_usual(data: bytes, header: JpegHeader) -> bool:
    """Return whether a picture of one scan may be decoded as it is, and it is worth a try.

    That is when it has an end, which is looked for from behind, and no flood of APP2 segments
    behind its scan, which only a large file has room for.
    """
    if data.rfind(END, header.first_scan) < 0:
        return False
    behind = len(data) - header.first_scan
    return behind <= HARMLESS_BYTES or not any(
        bool((np.frombuffer(data, "<u2", (behind - odd) // 2, at) == APP2_AS_NUMBER).any())
        for odd, at in enumerate((header.first_scan, header.first_scan + 1))
    )


def _are_whole(scans: Scans) -> bool:
    """Return whether a picture of several scans has all of them, and they make sense."""
    return scans.ended and scans.in_order and not scans.lacking


def _may_be_whole(header: JpegHeader, scans: Scans) -> bool:
    """Return whether all scans are there, as far as their markers tell.

    Whether the data of each is whole libjpeg-turbo says of Huffman coding. An arithmetic decoder
    goes on with zeros for ever (D.2.6), so only a marker says that the data did not end too early.
    """
    if header.coding in ARITHMETIC:
        return _are_whole(scans)
    return scans.in_order and not scans.lacking and (scans.ended or scans.complete)


def _decoded(
    data: bytes, header: JpegHeader, smallest: tuple[int, int], *, strict: bool
) -> NDArray[np.uint8]:
    inks = len(header.components) == INKS
    # It decodes to the smallest size it can that is no smaller than this; 0 is the whole picture.
    pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
        data,
        colorspace="CMYK" if inks else "BGR",
        min_width=smallest[0],
        min_height=smallest[1],
        strict=strict,
    )
    if not inks:
        return pixels
    from pillow import bgr_of_inks  # noqa: PLC0415 - see decode.py

    return bgr_of_inks(pixels)


def _with_pillow(data: bytes) -> NDArray[np.uint8]:
    """Decode a picture whose chroma is sampled in a way that TurboJPEG has no name for.

    Pillow passes no warning on, so that damage inside a scan is not noticed.
    """
    from pillow import bgr_of_jpeg  # noqa: PLC0415 - see decode.py

    try:
        return bgr_of_jpeg(data)
    except Exception:  # noqa: BLE001 - Pillow's parsers raise whatever a damaged file made of them
        raise corrupt() from None
