"""Recovery points: where decoding can begin though no picture says so itself.

Encoders with open groups of pictures put them before an intra picture, those that refresh a picture
in strips before one of which the next so many are needed: D.1.8 and D.2.8 of H.264, D.2.8 and D.3.8
of H.265.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contract import Codec

from bits import BitReader, EndOfBitsError, without_emulation_prevention
from nal_units import NalUnit

if TYPE_CHECKING:
    from collections.abc import Iterable

RECOVERY_POINT = 6
# Where encoders put it: among the first messages.
READ_BYTES = 512
MOST_COUNT = 2**16
X264 = re.compile(rb"x264 - core (\d{1,4})")


@dataclass(frozen=True)
class RecoveryPoint:
    """A recovery point.

    Attributes:
        count: when the pictures are right again: after so many frames that others refer to
            (H.264), or from the picture that is so many later in output order (H.265).
        broken: what comes after it and is shown before it refers to pictures of something else.
    """

    count: int
    broken: bool


@dataclass(frozen=True, kw_only=True)
class RecoveryUnit(NalUnit):
    """An SEI that holds a recovery point.

    Attributes:
        point: that it holds.
    """

    point: RecoveryPoint


def recovery_unit(unit: NalUnit, codec: Codec) -> RecoveryUnit | None:
    """Return an SEI with the recovery point that it holds; None without one."""
    point = _recovery_point(unit, codec)
    if point is None:
        return None
    return RecoveryUnit(unit.type, unit.kind, unit.data, unit.reference, point=point)


def recovery_point(units: Iterable[NalUnit]) -> RecoveryPoint | None:
    """Return the recovery point of an access unit whose SEIs were read; None where it has none."""
    return next((unit.point for unit in units if isinstance(unit, RecoveryUnit)), None)


def x264_build(unit: NalUnit) -> int | None:
    """Return which x264 made a stream, where an SEI says so.

    Lossless pictures of builds before 151 are not quite H.264; the decoder knows how.
    """
    found = X264.search(unit.data, 0, READ_BYTES)
    return None if found is None else int(found[1])


def _recovery_point(unit: NalUnit, codec: Codec) -> RecoveryPoint | None:
    h264 = codec is Codec.H264
    payload, at = without_emulation_prevention(unit.data[1 if h264 else 2 : READ_BYTES]), 0
    while at + 2 <= len(payload) and payload[at] != 0x80:
        numbers = []
        for _ in range(2):
            value = 0
            while at < len(payload) and payload[at] == 0xFF:
                value, at = value + 255, at + 1
            if at >= len(payload):
                return None
            numbers.append(value + payload[at])
            at += 1
        kind, size = numbers
        if kind == RECOVERY_POINT:
            return _message(BitReader(payload[at : at + size]), h264)
        at += size
    return None


def _message(reader: BitReader, h264: bool) -> RecoveryPoint | None:
    try:
        count = reader.unsigned() if h264 else reader.signed()
        reader.skip(1)  # whether the pictures match to the bit
        broken = reader.flag()
    except EndOfBitsError:
        return None
    return RecoveryPoint(count, broken) if -MOST_COUNT < count < MOST_COUNT else None
