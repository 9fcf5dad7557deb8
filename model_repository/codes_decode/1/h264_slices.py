"""Noticing that a picture of an H.264 stream is missing: the numbers of its frames have a gap.

libavcodec conceals such a loss and says nothing of it. H.265 needs none of this: every slice there
names the pictures that it refers to, and the decoder reports one that it has not.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from bits import BitReader, EndOfBitsError, without_emulation_prevention
from nal_units import Kind, NalUnit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parameter_sets import SequenceSet

PICTURE_SET = 8
RECOVERY_POINT = 6
# The parts of a slice's header that are read are at most this long: three codes and frame_num.
HEADER_BYTES = 24
# Where an encoder puts a recovery point: among the first messages of an SEI.
SUPPLEMENT_BYTES = 512
MOST_SETS = 256


class FrameNumbers:
    """Follows ``frame_num`` through a stream, as in 7.4.3 of H.264."""

    def __init__(self) -> None:
        self._sequence_of: dict[int, int] = {}
        self._last_reference: int | None = None

    def take_picture_sets(self, units: Sequence[NalUnit]) -> None:
        """Remember which sequence sets the PPS name; a damaged one is left to the decoder."""
        for unit in units:
            if unit.type == PICTURE_SET:
                with suppress(EndOfBitsError):
                    reader = BitReader(without_emulation_prevention(unit.data[1:HEADER_BYTES]))
                    identity, sequence = reader.unsigned(), reader.unsigned()
                    if identity < MOST_SETS:
                        self._sequence_of[identity] = sequence

    def restart(self) -> None:
        """Forget the last picture: the next one begins a stream."""
        self._last_reference = None

    def has_gap(self, units: Sequence[NalUnit], sets: dict[int, SequenceSet]) -> bool:
        """Return whether a picture that others refer to is missing before this access unit.

        Args:
            units: of the access unit.
            sets: the stream's sequence sets by their number.
        """
        unit = next((each for each in units if each.kind in {Kind.SLICE, Kind.KEY_SLICE}), None)
        if unit is None:
            return False
        try:
            number, sequence = self._frame_num(unit, sets)
        except (EndOfBitsError, KeyError):
            return False  # damaged: the decoder will say so
        last, size = self._last_reference, 1 << sequence.frame_num_bits
        gap = (
            unit.kind is not Kind.KEY_SLICE
            and last is not None
            and not sequence.gaps_allowed
            and number not in {last, (last + 1) % size}
        )
        if unit.reference:
            self._last_reference = number
        return gap

    def _frame_num(self, unit: NalUnit, sets: dict[int, SequenceSet]) -> tuple[int, SequenceSet]:
        reader = BitReader(without_emulation_prevention(unit.data[1:HEADER_BYTES]))
        reader.unsigned()  # first macroblock
        reader.unsigned()  # type
        sequence = sets[self._sequence_of[reader.unsigned()]]
        if sequence.separate_planes:
            reader.skip(2)
        return reader.bits(sequence.frame_num_bits), sequence


def is_recovery_point(unit: NalUnit) -> bool:
    """Return whether an SEI says that decoding can begin at the picture after it, as D.1.8 has it.

    Encoders with open groups of pictures, or that refresh a picture in strips, have these in place
    of IDR pictures.
    """
    payload, at = without_emulation_prevention(unit.data[1:SUPPLEMENT_BYTES]), 0
    while at + 2 <= len(payload) and payload[at] != 0x80:
        kind = size = 0
        for number in range(2):
            value = 0
            while at < len(payload) and payload[at] == 0xFF:
                value, at = value + 255, at + 1
            if at >= len(payload):
                return False
            value, at = value + payload[at], at + 1
            kind, size = (value, size) if number == 0 else (kind, value)
        if kind == RECOVERY_POINT:
            return True
        at += size
    return False
