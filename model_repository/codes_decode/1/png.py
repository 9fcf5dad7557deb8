"""What must be known of a PNG before it is decoded, read from its chunks (ISO 15948, 5.3)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from unreadable import corrupt

SIGNATURE_BYTES = 8
# Length and type stand before a chunk's data, a checksum behind it.
HEAD_BYTES, LENGTH_BYTES, CHECKSUM_BYTES = 8, 4, 4
HEADER, HEADER_BYTES = b"IHDR", 13
IMAGE_DATA, EXIF, END = b"IDAT", b"eXIf", b"IEND"
END_CHUNK = b"\x00\x00\x00\x00IEND\xae\x42\x60\x82"
# In a type's first letter: decoders may do without the chunk. Transparency stays, it is pixels.
ANCILLARY = 0x20
TRANSPARENCY = b"tRNS"
# Of animations, of which the first frame counts: OpenCV would read all of them.
FRAME_CHUNKS = frozenset({b"fcTL", b"fdAT"})
# A camera or an editor writes about ten besides the pixels. A chunk of nothing takes 12 bytes, and
# a microsecond of Python.
MAX_CHUNKS = 500
# Pixels come in pieces of 8 kB and more: those of the largest file are a few thousand.
MAX_PIECES = 2**17


@dataclass(frozen=True)
class PngFile:
    """What its chunks say.

    Attributes:
        width: of the picture as it is stored, pixels.
        height: likewise.
        exif: the first EXIF block whose checksum is right, before the pixels or behind them.
        plain: the same file for a decoder: without the chunks that it may do without, and with an
            end.
    """

    width: int
    height: int
    exif: bytes | None
    plain: bytes


def read_png(data: bytes) -> PngFile:
    """Read the chunks of a PNG and leave out what is not pixels.

    A decoder must not have the rest: it may be damaged, which is no reason to refuse the picture;
    OpenCV inflates every compressed text, 8 MB from 8 kB; and it reads a whole animation.

    Raises:
        UnreadableImageError: no decoder may have it. (1) There are more chunks than any program
            writes. (2) One of the pixels' claims to be longer than the file: OpenCV 4.11 sets aside
            what a chunk claims, up to 4 GB, before it looks whether so much is there. (3) It ends
            before its pixels: OpenCV looks for them beyond the end, where nothing was checked.
    """
    width, height = _size(data)
    exif: bytes | None = None
    kept: list[bytes] = []
    # What stands from `begin` to here is kept.
    begin, position, pieces, others = 0, SIGNATURE_BYTES, 0, 0
    for _ in range(MAX_PIECES):
        start, data_start = position, position + HEAD_BYTES
        kind = data[start + LENGTH_BYTES : data_start]
        length = int.from_bytes(data[start : start + LENGTH_BYTES], "big")
        position = data_start + length + CHECKSUM_BYTES
        # Types are letters (5.3): what else stands there is no chunk.
        is_chunk = kind.isalpha()
        longer = position > len(data)
        if is_chunk and longer and (kind == IMAGE_DATA or not pieces):
            raise corrupt("a chunk is longer than the file")
        if not is_chunk or longer or kind == END:
            if not pieces:
                raise corrupt("it ends before its pixels")
            if not kept and data.startswith(END_CHUNK, start):
                return PngFile(width, height, exif, data)
            plain = b"".join((*kept, data[begin:start], END_CHUNK))
            return PngFile(width, height, exif, plain)
        pieces += kind == IMAGE_DATA
        others += kind != IMAGE_DATA and kind not in FRAME_CHUNKS
        if others > MAX_CHUNKS:
            break
        if kind == EXIF and exif is None:
            exif = _whole(data[start + LENGTH_BYTES : position])
        if kind[0] & ANCILLARY and kind != TRANSPARENCY:
            kept.append(data[begin:start])
            begin = position
    raise corrupt("it has too many chunks")


def _size(data: bytes) -> tuple[int, int]:
    """Return width and height from the header, which stands first (11.2.2)."""
    start = SIGNATURE_BYTES + LENGTH_BYTES
    body = start + len(HEADER)
    if not data.startswith(HEADER, start) or len(data) < body + HEADER_BYTES:
        raise corrupt("its header is damaged")
    return int.from_bytes(data[body : body + 4], "big"), int.from_bytes(
        data[body + 4 : body + 8], "big"
    )


def _whole(chunk: bytes) -> bytes | None:
    """Return the data of a chunk, from its type to its checksum, or None if that is wrong."""
    covered, checksum = chunk[:-CHECKSUM_BYTES], chunk[-CHECKSUM_BYTES:]
    if zlib.crc32(covered) != int.from_bytes(checksum, "big"):
        return None
    return covered[HEAD_BYTES - LENGTH_BYTES :]
