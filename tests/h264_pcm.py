"""H.264 written by hand, every macroblock raw samples (I_PCM): what no encoder at hand makes.

Frames and single fields, pictures that are shown in another order than they are decoded in.
Syntax: 7.3 of ITU-T H.264. Baseline would do but for the fields, so it is Main profile, CAVLC.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_MAIN = 77
_FRAME_NUM_BITS = 4
_POC_BITS = 8
_I_SLICE, _I_PCM = 7, 25
_IDR, _SLICE, _SPS, _PPS = 5, 1, 7, 8


@dataclass(frozen=True)
class Coded:
    """A picture in decoding order.

    Attributes:
        shown: its place in the order in which pictures are shown, counted from the last key.
        grey: of all its pixels, 16 to 235.
        key: an IDR picture.
        reference: whether others may be predicted from it.
        fields: two packets, one for each field, and not one.
    """

    shown: int
    grey: int
    key: bool = False
    reference: bool = True
    fields: bool = False


class _Bits:
    def __init__(self) -> None:
        self._bits: list[int] = []

    def put(self, value: int, count: int) -> None:
        self._bits += [value >> (count - 1 - at) & 1 for at in range(count)]

    def ue(self, value: int) -> None:
        length = (value + 1).bit_length()
        self.put(0, length - 1)
        self.put(value + 1, length)

    def align(self) -> None:
        self.put(0, -len(self._bits) % 8)

    def raw(self, data: bytes) -> None:
        self._bits += [byte >> (7 - at) & 1 for byte in data for at in range(8)]

    def ended(self) -> bytes:
        self.put(1, 1)
        self.align()
        text = "".join(map(str, self._bits))
        return int(text, 2).to_bytes(len(text) // 8, "big")


def _unit(kind: int, importance: int, payload: bytes) -> bytes:
    data, zeros = bytearray(), 0
    for byte in payload:
        if zeros >= 2 and byte <= 3:
            data.append(3)
            zeros = 0
        data.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return b"\0\0\0\1" + bytes([importance << 5 | kind]) + bytes(data)


def _sequence_set(columns: int, rows: int, reorder: int | None, fps: int | None) -> bytes:
    bits = _Bits()
    bits.put(_MAIN, 8)
    bits.put(0, 8)
    bits.put(30, 8)  # level 3
    bits.ue(0)
    bits.ue(_FRAME_NUM_BITS - 4)
    bits.ue(0)  # picture order as it is written in each slice
    bits.ue(_POC_BITS - 4)
    bits.ue(2)  # reference frames
    bits.put(0, 1)
    bits.ue(columns - 1)
    bits.ue(rows // 2 - 1)
    bits.put(0, 1)  # fields are allowed
    bits.put(0, 1)
    bits.put(1, 1)
    bits.put(0, 1)
    bits.put(1, 1)  # usability
    bits.put(0, 4)  # aspect, overscan, signal, chroma
    bits.put(fps is not None, 1)  # timing, in fields
    if fps is not None:
        bits.put(1, 32)
        bits.put(2 * fps, 32)
        bits.put(1, 1)
    bits.put(0, 3)  # hypothetical decoders, picture structure
    bits.put(reorder is not None, 1)  # restrictions
    if reorder is not None:
        bits.put(1, 1)
        for value in (0, 0, 10, 10, reorder, max(2, reorder)):
            bits.ue(value)
    return _unit(_SPS, 3, bits.ended())


def _picture_set() -> bytes:
    bits = _Bits()
    bits.ue(0)
    bits.ue(0)
    bits.put(0, 2)
    bits.ue(0)
    bits.ue(0)
    bits.ue(0)
    bits.put(0, 3)
    for _ in range(3):
        bits.ue(0)
    bits.put(0, 3)
    return _unit(_PPS, 3, bits.ended())


def _slice(picture: Coded, number: int, macroblocks: int, field: int | None) -> bytes:
    idr = picture.key and field in (None, 0)
    bits = _Bits()
    bits.ue(0)
    bits.ue(_I_SLICE)
    bits.ue(0)
    bits.put(number % (1 << _FRAME_NUM_BITS), _FRAME_NUM_BITS)
    bits.put(field is not None, 1)
    if field is not None:
        bits.put(field, 1)
    if idr:
        bits.ue(0)
    bits.put((2 * picture.shown + (field or 0)) % (1 << _POC_BITS), _POC_BITS)
    if picture.reference:
        bits.put(0, 2 if idr else 1)
    bits.ue(0)  # quantiser
    for _ in range(macroblocks):
        bits.ue(_I_PCM)
        bits.align()
        bits.raw(bytes([picture.grey]) * 256 + bytes([128]) * 128)
    return _unit(_IDR if idr else _SLICE, 3 if picture.reference else 0, bits.ended())


def access_units(
    pictures: Iterable[Coded],
    *,
    columns: int = 4,
    rows: int = 4,
    reorder: int | None = 0,
    fps: int | None = 25,
) -> list[bytes]:
    """Return Annex B access units, a field an access unit of its own.

    Args:
        pictures: in decoding order; the first is a key.
        columns: of macroblocks of 16 pixels.
        rows: likewise, an even number.
        reorder: what the SPS says of how many pictures come later than shown; None: nothing.
        fps: frames per second, two fields each; None: the SPS does not say.
    """
    units, number, before_was_reference = [], 0, False
    for picture in pictures:
        if picture.key:
            number = 0
        elif before_was_reference:
            number += 1
        before_was_reference = picture.reference
        head = _sequence_set(columns, rows, reorder, fps) + _picture_set() if picture.key else b""
        if picture.fields:
            size = columns * rows // 2
            units.append(head + _slice(picture, number, size, 0))
            units.append(_slice(picture, number, size, 1))
        else:
            units.append(head + _slice(picture, number, columns * rows, None))
    return units
