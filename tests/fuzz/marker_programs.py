"""JPEGs whose markers an input put together: a program of a few bytes, not a file.

A fuzzer that changes bytes of a file loses its markers and finds little behind them. Here each
three bytes change one piece of a good JPEG: fill and stray bytes before its marker, another
marker, another length, pieces doubled, swapped, left out, cut, and floods of them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from PIL import Image

from tests import images, jpegs

SIDES = (36, 20)
MOST_STEPS, MOST_BYTES = 12, 2**16
FLOODS = (2, 3, 7, 99, 101, 700, 1100)
# What ends a scan's data, and begins a segment.
FILL = b"\xff"
SCAN = b"\xda"


@dataclass(frozen=True)
class MadeJpeg:
    """What a program made.

    Attributes:
        data: the file.
        source: the good JPEG that it was made of.
        orientation: of the first EXIF block before its first scan, 1 where there is none; None
            where steps did more than to put fill bytes and whole segments before the first scan.
    """

    data: bytes
    source: bytes
    orientation: int | None


def made_jpeg(program: bytes) -> MadeJpeg:
    """Run a program: the number of a good JPEG, and then steps of three bytes each.

    A step is what to do, with which piece, and how much of it.
    """
    sources = good_jpegs()
    source = sources[program[0] % len(sources)] if program else sources[0]
    pieces = jpegs.pieces_of(source)
    harmless = True
    for at in range(1, min(len(program) - 2, 3 * MOST_STEPS), 3):
        step, where, argument = program[at : at + 3]
        name = STEPS[step % len(STEPS)]
        # The start of the image stays, or it is no JPEG.
        place = 1 + where % (len(pieces) - 1)
        harmless &= name in HARMLESS and place <= _first_scan(pieces)
        if name in INSERTED:
            pieces.insert(place, INSERTED[name](argument))
        elif name == "swap":
            other = 1 + argument % (len(pieces) - 1)
            pieces[place], pieces[other] = pieces[other], pieces[place]
        else:
            pieces[place] = CHANGED[name](pieces[place], argument)
        if sum(map(len, pieces)) > MOST_BYTES:
            break
    orientation = None
    if harmless:
        turns = [_orientation(piece) for piece in pieces[: _first_scan(pieces)]]
        orientation = next(filter(None, turns), 1)
    return MadeJpeg(b"".join(pieces), source, orientation)


@cache
def good_jpegs() -> tuple[bytes, ...]:
    """Every kind of JPEG, small."""
    picture = images.photograph(*SIDES)
    rgb = images.rgb_image(picture)
    restarts = (cv2.IMWRITE_JPEG_RST_INTERVAL, 1)
    return (
        images.encoded(picture),
        images.encoded(picture, ".jpg", *restarts),
        images.encoded(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)),
        images.with_pillow(rgb, "JPEG", progressive=True),
        images.encoded(picture, ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1, *restarts),
        images.with_pillow(rgb.convert("CMYK"), "JPEG"),
        images.with_pillow(rgb, "JPEG", icc_profile=bytes(200), comment=b"of a camera"),
        jpegs.one_scan_a_component(picture),
        jpegs.arithmetic_grey(*SIDES),
    )


def _first_scan(pieces: list[bytes]) -> int:
    """Which piece it is, or how many there are where none is one any more."""
    scans = [at for at, piece in enumerate(pieces) if piece.lstrip(FILL).startswith(SCAN)]
    return scans[0] if scans else len(pieces)


def _exif(argument: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = argument % 8 + 1
    block = exif.tobytes().removeprefix(b"Exif\x00\x00")
    # The orientation once more at the end, where whoever looks for it need not know TIFF.
    return jpegs.segment(0xE1, b"Exif\x00\x00" + block + bytes([argument % 8 + 1]))


def _orientation(piece: bytes) -> int:
    """What :func:`_exif` put into a piece, or 0."""
    return piece[-1] if b"\xe1" in piece[:300] and b"Exif" in piece[:300] else 0


def _flood(argument: int) -> bytes:
    body = b"" if argument & 128 else b"Exif\x00\x00"
    return jpegs.segment(0xE0 | argument & 15, body) * FLOODS[argument % len(FLOODS)]


def _with_length(piece: bytes, argument: int) -> bytes:
    length = int.from_bytes(piece[2:4], "big") + argument - 128
    return piece[:2] + struct.pack(">H", length % 2**16) + piece[4:]


def _with_byte(piece: bytes, argument: int) -> bytes:
    at = 4 + argument % 16
    return piece[:at] + bytes([argument]) + piece[at + 1 :]


def _doubled(piece: bytes, argument: int) -> bytes:
    times = FLOODS[argument % len(FLOODS)] if argument & 128 else 2
    return piece * min(times, 1 + MOST_BYTES // max(len(piece), 1))


INSERTED: dict[str, Callable[[int], bytes]] = {
    "exif": _exif,
    "application": lambda argument: jpegs.segment(
        0xFE if argument & 16 else 0xE0 | argument & 15, bytes(argument)
    ),
    "flood": _flood,
    "marker": lambda argument: bytes([0xFF, argument]),
}
CHANGED: dict[str, Callable[[bytes, int], bytes]] = {
    "fill": lambda piece, argument: FILL * argument + piece,
    "stray": lambda piece, argument: np.random.default_rng(argument).bytes(argument) + piece,
    "zeros": lambda piece, argument: bytes(argument) + piece,
    "double": _doubled,
    "leave out": lambda piece, _: piece[:0],
    "cut": lambda piece, argument: piece[: argument % (len(piece) + 1)],
    "code": lambda piece, argument: piece[:1] + bytes([argument]) + piece[2:],
    "length": _with_length,
    "byte": _with_byte,
}
# Those that leave the picture as it is where they come before the first scan.
HARMLESS = frozenset({"exif", "application", "fill"})
STEPS = (*INSERTED, *CHANGED, "swap")
