"""JPEGs that stand out: odd ones with all of their pixels, and damaged ones without."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tests import images

START, END = b"\xff\xd8", b"\xff\xd9"
MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
SEQUENTIAL_SCAN = b"\x00\x3f\x00"


def segment(marker: int, body: bytes) -> bytes:
    """A segment."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def pieces_of(data: bytes) -> list[bytes]:
    """Start, segments, each scan's data for itself, and end."""
    starts, position = [0], 2
    while (found := MARKER.search(data, position)) is not None:
        if found.start() > position:
            starts.append(position)
        starts.append(found.start())
        position = found.end()
        if found[1] != END[1:]:
            position += int.from_bytes(data[position : position + 2], "big")
    return [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)], strict=True)]


def put_before(data: bytes, marker: int, new: bytes) -> bytes:
    """The same with bytes before the first such marker."""
    pieces = pieces_of(data)
    at = next(at for at, piece in enumerate(pieces) if piece[:2] == bytes([0xFF, marker]))
    return b"".join([*pieces[:at], new, *pieces[at:]])


def one_scan_a_component(picture: NDArray[np.uint8], across: int = 1, quality: int = 90) -> bytes:
    """A sequential JPEG with a scan for each of its components, as OpenCV and Pillow write none.

    Each plane is a grey JPEG with the same tables; chroma is sampled at every ``across`` columns.
    """
    height, width = picture.shape[:2]
    brightness, red, blue = cv2.split(cv2.cvtColor(picture, cv2.COLOR_BGR2YCrCb))
    small = (-(-width // across), height)
    planes = (brightness, cv2.resize(blue, small), cv2.resize(red, small))
    files = [images.encoded(plane, ".jpg", cv2.IMWRITE_JPEG_QUALITY, quality) for plane in planes]
    components = b"".join(
        bytes([number, 0x10 * (across if number == 1 else 1) + 1, 0]) for number in (1, 2, 3)
    )
    made = []
    for piece in pieces_of(files[0])[:-3]:
        is_frame = piece[1] == 0xC0
        frame = struct.pack(">BHHB", 8, height, width, 3) + components
        made.append(segment(0xC0, frame) if is_frame else piece)
    for number, data in enumerate(files, start=1):
        made += [segment(0xDA, bytes([1, number, 0]) + SEQUENTIAL_SCAN), pieces_of(data)[-2]]
    return b"".join((*made, END))


def arithmetic_grey(width: int, height: int, coding: int = 0xC9) -> bytes:
    """An arithmetic-coded JPEG of one grey, whose data are the zeros that such a picture has."""
    last = b"\x00" if coding == 0xCA else b"\x3f"
    return (
        START
        + segment(0xDB, bytes([0, *[16] * 64]))
        + segment(coding, struct.pack(">BHHB", 8, height, width, 1) + bytes([1, 0x11, 0]))
        + segment(0xDA, bytes([1, 1, 0, 0]) + last + b"\x00")
        + b"\x00\x00"
        + END
    )


def with_sampling(data: bytes, across: int, down: int) -> bytes:
    """The same with other sampling factors of its first component."""
    frame = data.index(b"\xff\xc0")
    return data[: frame + 11] + bytes([across << 4 | down]) + data[frame + 12 :]


@dataclass(frozen=True)
class Odd:
    """A file whose pixels are all there.

    Attributes:
        data: the file.
        source: one with the same pixels and nothing odd.
        said: what libjpeg-turbo says of it, where it says anything.
    """

    data: bytes
    source: bytes
    said: str = ""


def icc(number: int, count: int, body: bytes = b"profile") -> bytes:
    """A part of an ICC profile."""
    return segment(0xE2, b"ICC_PROFILE\x00" + bytes([number, count]) + body)


def odd_jpegs() -> dict[str, Odd]:
    """Whole pictures that libjpeg-turbo complains of, or could; each of its warnings is there."""
    picture = images.photograph()
    rgb = images.rgb_image(picture)
    plain = images.encoded(picture)
    restarts = images.encoded(picture, ".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 3)
    progressive = images.with_pillow(rgb, "JPEG", progressive=True)
    cmyk = images.with_pillow(rgb.convert("CMYK"), "JPEG")
    planes = one_scan_a_component(picture)
    bare = b"".join(piece for piece in pieces_of(plain) if piece[1] != 0xE0)
    adobe = segment(0xEE, b"Adobe\x00\x64\x00\x00\x00\x00\x01")
    jfif, extraneous, early = plain.index(b"JFIF") + 5, "extraneous bytes", "Premature end of JPEG"
    bogus_icc, other_scans = "bad ICC marker", "more than one scan"
    zeros, inks = plain.index(b"\xff\xda") + 11, cmyk.index(b"Adobe") + 11
    icc_at = {
        "stands twice": icc(1, 1) * 2,
        "lacks a part": icc(1, 3) + icc(3, 3),
        "is numbered from 0": icc(0, 1),
        "does not agree on its parts": icc(1, 2) + icc(2, 3),
        "is empty": icc(1, 1, b""),
    }
    odd = {
        f"{count} stray bytes before {marker:02X}": Odd(
            put_before(plain, marker, b"\x55" * count), plain, extraneous
        )
        for count in (1, 16, 300)
        for marker in (0xDB, 0xC0, 0xC4, 0xDA)
    }
    odd |= {
        f"a profile that {how}": Odd(put_before(plain, 0xDB, parts), plain, bogus_icc)
        for how, parts in icc_at.items()
    }
    return odd | {
        "stuffed bytes before a marker": Odd(
            put_before(plain, 0xC0, b"\xff\x00\x00\xff\x00"), plain, extraneous
        ),
        "fill bytes before every marker": Odd(
            START
            + b"".join(b"\xff" * 9 + piece for piece in pieces_of(bare)[1:-2])
            + b"".join(pieces_of(bare)[-2:]),
            plain,
        ),
        "a comment without a length": Odd(put_before(plain, 0xC0, b"\xff\xfe\x00\x00"), plain),
        "JFIF 2.1": Odd(plain[:jfif] + b"\x02" + plain[jfif + 1 :], plain, "JFIF revision"),
        "Adobe transform 7": Odd(
            bare[:2] + adobe[:-1] + b"\x07" + bare[2:], plain, "Adobe color transform"
        ),
        "Adobe transform 9 of inks": Odd(
            cmyk[:inks] + b"\x09" + cmyk[inks + 1 :],
            cmyk[:inks] + b"\x02" + cmyk[inks + 1 :],
            "Adobe color transform",
        ),
        "a scan header of zeros": Odd(
            plain[:zeros] + bytes(3) + plain[zeros + 3 :], plain, "Invalid SOS parameters"
        ),
        "no end": Odd(plain[:-2], plain, early),
        "no end, and half a marker": Odd(plain[:-1], plain, early),
        "no end, and restarts": Odd(restarts[:-2], restarts, early),
        "no end, and padded with zeros": Odd(plain[:-2] + bytes(3000), plain, early),
        "no end, and filled up": Odd(plain[:-2] + b"\xff" * 3000, plain, early),
        "no end, and the next picture": Odd(plain[:-2] + plain, plain, "two SOI markers"),
        "no end of a progressive picture": Odd(progressive[:-2], progressive, early),
        "no end of a picture in inks": Odd(cmyk[:-2], cmyk, early),
        "no end of a scan for each component": Odd(planes[:-2], planes, early),
        "no end, and a table cut behind all scans": Odd(
            progressive[:-2] + b"\xff\xc4\x00\x40\x00", progressive, "Huffman table"
        ),
        "zeros before its end": Odd(plain[:-2] + bytes(3000) + END, plain, extraneous),
        "padding before its end": Odd(plain[:-2] + b"\x55" * 16 + END, plain, extraneous),
        "padding and fill before its end": Odd(
            plain[:-2] + b"\x55" * 16 + b"\xff" * 20 + END, plain, extraneous
        ),
        "padding and zeros before its end": Odd(
            plain[:-2] + b"\x55" * 12 + bytes(300) + END, plain, extraneous
        ),
        "padding, and no end": Odd(plain[:-2] + b"\x55" * 16, plain, early),
        "padding and restarts": Odd(restarts[:-2] + b"\x55" * 16 + END, restarts, extraneous),
        "padding of a progressive picture": Odd(
            progressive[:-2] + b"\x55" * 16 + END, progressive, extraneous
        ),
        "another scan behind": Odd(
            plain[:-2] + plain[plain.index(b"\xff\xda") :], plain, other_scans
        ),
        "a segment cut behind its scan": Odd(plain[:-2] + b"\xff\xfe\x40\x00abc", plain, early),
        "a marker nobody knows behind": Odd(plain[:-2] + b"\xff\xf7" + END, plain, "Unsupported"),
        "bytes behind its end": Odd(plain + np.random.default_rng(0).bytes(3000), plain),
        "another picture behind": Odd(plain + images.encoded(images.photograph(seed=1)), plain),
        "a thumbnail with scans of its own": Odd(
            put_before(progressive, 0xDB, segment(0xE1, b"Exif\x00\x00" + images.scan_bomb(110))),
            progressive,
        ),
    }


def damaged_jpegs() -> dict[str, bytes]:
    """Pictures that lack pixels, or have wrong ones."""
    picture = images.photograph()
    rgb = images.rgb_image(picture)
    plain = images.encoded(picture)
    scan = plain.index(b"\xff\xda")
    restarts = images.encoded(picture, ".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 20)
    first, second, third = (restarts.index(bytes([0xFF, 0xD0 + at])) for at in range(3))
    last = max(restarts.rindex(bytes([0xFF, 0xD0 + at])) for at in range(8))
    progressive = images.with_pillow(rgb, "JPEG", progressive=True)
    last_table = progressive.rindex(b"\xff\xc4")
    cmyk = images.with_pillow(rgb.convert("CMYK"), "JPEG")
    planes = pieces_of(one_scan_a_component(picture))
    half = (scan + len(plain)) // 2
    wrong = bytearray(plain)
    wrong[half : half + 40] = b"\x00" * 40
    return {
        "cut in the middle": plain[:half],
        "cut in the middle, with an end": plain[:half] + END,
        "cut near the end": plain[:-9],
        "cut and padded with zeros": plain[:half] + bytes(9000),
        "cut and padded with zeros, with an end": plain[:half] + bytes(9000) + END,
        "cut behind stray bytes": put_before(plain, 0xDB, b"\x55" * 3)[: half + 3],
        "an end in the middle": plain[:half] + END + plain[half:],
        "a marker nobody knows in the middle": plain[:half] + b"\xff\xf7" + plain[half:],
        "wrong bytes in the middle": bytes(wrong),
        "much padding before its end": plain[:-2] + b"\x55" * 40 + END,
        "a restart lost": restarts[:second] + restarts[third:],
        "an interval between two restarts lost": restarts[: first + 2] + restarts[second:],
        "the last interval lost, in bytes like padding": restarts[:last] + b"\x55" * 12 + END,
        "the last interval lost, and the end": restarts[:last] + b"\x55" * 12,
        "bytes before a restart": restarts[:second] + b"\x55" * 40 + restarts[second:],
        "progressive, cut in a scan": progressive[: len(progressive) * 2 // 3],
        "progressive, cut between scans": progressive[:last_table],
        "progressive, bytes before its last table": b"\x55".join(
            (progressive[:last_table] + b"\x55" * 40, progressive[last_table:])
        ),
        "in inks, cut": cmyk[: len(cmyk) * 2 // 3],
        "in inks, cut, with an end": cmyk[: len(cmyk) * 2 // 3] + END,
        "a component without a scan": b"".join((*planes[:-3], END)),
        "arithmetic, without an end": arithmetic_grey(320, 240)[:-2],
    }
