"""The parameter sets that a stream has sent, for decoders that begin at a later key frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contract import Codec

from nal_units import Kind, NalUnit
from parameter_sets import BadParameterSetError, SequenceSet, read_sequence_set, set_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    # Called with a sequence set before anything is decoded with it; raises to refuse it.
    Admit = Callable[[SequenceSet], None]

SETS = frozenset({Kind.SEQUENCE_SET, Kind.OTHER_SET})
# Cameras have a handful of some dozen bytes.
MOST_SETS = 64
MOST_BYTES = 2**16


class KnownSets:
    """Remembers parameter sets.

    Those of an access unit with an SPS take the place of what was there: one that was damaged on
    its way must not be brought up again with every key frame to come.

    Args:
        codec: of the stream.
        admit: called with every new sequence set.

    Attributes:
        sequences: the sequence sets by their number.
    """

    def __init__(self, codec: Codec, admit: Admit) -> None:
        self._codec = codec
        self._admit = admit
        # By type and number.
        self._units: dict[tuple[int, int], NalUnit] = {}
        self.sequences: dict[int, SequenceSet] = {}

    def take(self, units: Sequence[NalUnit]) -> None:
        """Remember the sets of an access unit.

        Raises:
            BadParameterSetError: one is damaged, or there are more than any stream needs.
            RefusedPacketError: from ``admit``.
        """
        sets = [unit for unit in units if unit.kind in SETS]
        if not sets:
            return
        if any(unit.kind is Kind.SEQUENCE_SET for unit in sets):
            self._drop_before(min(unit.type for unit in sets))
        for unit in sets:
            if unit.kind is Kind.SEQUENCE_SET:
                sequence = read_sequence_set(unit, self._codec)
                self._admit(sequence)
                number = sequence.identity
                self.sequences[number] = sequence
            else:
                number = set_number(unit, self._codec)
            self._units[unit.type, number] = unit
        if len(self._units) > MOST_SETS or self._size() > MOST_BYTES:
            self._drop_before(0)
            raise BadParameterSetError("there are too many parameter sets")

    def missing_in(self, units: Sequence[NalUnit]) -> list[NalUnit]:
        """Return the sets that are to stand before an access unit with which a decoder begins."""
        own = {unit.data for unit in units}
        # In both standards a set has a higher type than those that it names: VPS, SPS, PPS.
        kept = [unit for unit in self._units.values() if unit.data not in own]
        return sorted(kept, key=lambda unit: unit.type)

    def _drop_before(self, lowest_type: int) -> None:
        self._units = {key: unit for key, unit in self._units.items() if key[0] < lowest_type}
        self.sequences.clear()

    def _size(self) -> int:
        return sum(len(unit.data) for unit in self._units.values())
