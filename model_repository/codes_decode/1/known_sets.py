"""The parameter sets that a stream has sent, for the decoder when a picture needs them.

A decoder gets a set with the first picture that refers to it, and no other: one that was damaged on
its way, under a number that nobody uses, must not be brought up with every key frame to come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from contract import Codec

import h264_sets
import h265_sets
from nal_units import Kind, NalUnit
from parameter_sets import BadParameterSetError, PictureSet, SequenceSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    # Called with a sequence set before anything is decoded with it; raises to refuse it.
    Admit = Callable[[SequenceSet], None]
    # Called with the bytes that a decoder may need; raises when they are too many.
    Reserve = Callable[[int], None]

SETS = frozenset({Kind.SEQUENCE_SET, Kind.PICTURE_SET, Kind.VIDEO_SET})
# Of all sets that are remembered. Cameras have a handful of some dozen bytes.
MOST_BYTES = 2**16


class MissingSetError(ValueError):
    """A picture refers to a parameter set that the stream has not sent."""


class _Key(NamedTuple):
    kind: Kind
    number: int


class KnownSets:
    """Remembers parameter sets, and which of them the decoder has.

    Args:
        codec: of the stream.
        admit: called with every new sequence set.
        reserve: called with the memory that a decoder may need.
    """

    def __init__(self, codec: Codec, admit: Admit, reserve: Reserve) -> None:
        self._codec = codec
        self._admit = admit
        self._reserve = reserve
        self._units: dict[_Key, NalUnit] = {}
        self._sequences: dict[int, SequenceSet] = {}
        self._pictures: dict[int, PictureSet] = {}
        self._at_decoder: set[_Key] = set()

    def take(self, units: Iterable[NalUnit]) -> None:
        """Remember the sets of an access unit.

        Raises:
            BadParameterSetError: one is damaged, or there are more than any stream needs.
            RefusedPacketError: from ``admit`` and ``reserve``.
            UndecodableError: FFmpeg does not decode such pictures.
        """
        sets = [unit for unit in units if unit.kind in SETS]
        if not sets:
            return
        known = {unit.data for unit in self._units.values()}
        changed = [unit for unit in sets if unit.data not in known]
        if not changed:
            return
        try:
            for unit in changed:
                key = self._read(unit)
                self._units[key] = unit
                self._leave_decoder(key)
        finally:
            # Those before a set that is refused stay, so they count.
            self._count()

    def of_picture(self, number: int) -> tuple[PictureSet, SequenceSet]:
        """Return a picture parameter set and its sequence parameter set.

        Raises:
            MissingSetError: the stream has not sent them.
        """
        try:
            picture = self._pictures[number]
            return picture, self._sequences[picture.sequence]
        except KeyError:
            raise MissingSetError(f"parameter set {number} is missing") from None

    def for_decoder(self, numbers: Iterable[int]) -> list[NalUnit]:
        """Return what the decoder lacks to read slices of these picture parameter sets.

        Those that the stream has not sent are left out: the decoder says what it makes of that.
        """
        wanted: list[_Key] = []
        for number in numbers:
            picture = self._pictures.get(number)
            sequence = None if picture is None else self._sequences.get(picture.sequence)
            if picture is None or sequence is None:
                continue
            # In this order: a set is read with those that it names.
            if sequence.parent is not None:
                wanted.append(_Key(Kind.VIDEO_SET, sequence.parent))
            wanted.append(_Key(Kind.SEQUENCE_SET, picture.sequence))
            wanted.append(_Key(Kind.PICTURE_SET, number))
        lacking = [key for key in dict.fromkeys(wanted) if key not in self._at_decoder]
        self._at_decoder.update(lacking)
        return [self._units[key] for key in lacking if key in self._units]

    def begin(self) -> None:
        """Say that there is a new decoder, which has none."""
        self._at_decoder.clear()

    @property
    def extended(self) -> bool:
        """Whether the stream has H.264's Extended profile."""
        return any(
            isinstance(each, h264_sets.H264SequenceSet) and each.profile == h264_sets.EXTENDED
            for each in self._sequences.values()
        )

    def _read(self, unit: NalUnit) -> _Key:
        h264 = self._codec is Codec.H264
        if unit.kind is Kind.VIDEO_SET:
            return _Key(unit.kind, h265_sets.read_video_set(unit.data))
        if unit.kind is Kind.SEQUENCE_SET:
            read = h264_sets if h264 else h265_sets
            sequence = read.read_sequence_set(unit.data)
            self._admit(sequence)
            self._sequences[sequence.identity] = sequence
            return _Key(unit.kind, sequence.identity)
        picture: PictureSet = (
            h264_sets.read_picture_set(unit.data, self._sequences)
            if h264
            else h265_sets.read_picture_set(unit.data)
        )
        self._pictures[picture.identity] = picture
        return _Key(unit.kind, picture.identity)

    def _leave_decoder(self, key: _Key) -> None:
        """Have a set, and those that the decoder drops with it, sent to it once more."""
        self._at_decoder.discard(key)
        if key.kind is Kind.PICTURE_SET:
            return
        below = Kind.SEQUENCE_SET if key.kind is Kind.VIDEO_SET else Kind.PICTURE_SET
        members: dict[int, int | None] = (
            {number: each.parent for number, each in self._sequences.items()}
            if below is Kind.SEQUENCE_SET
            else {number: each.sequence for number, each in self._pictures.items()}
        )
        for number, parent in members.items():
            if parent == key.number:
                self._leave_decoder(_Key(below, number))

    def _count(self) -> None:
        """Reserve what is known; forget all of it, or it would count as known, where that fails."""
        try:
            if sum(len(unit.data) for unit in self._units.values()) > MOST_BYTES:
                raise BadParameterSetError("there are too many parameter sets")
            self._reserve(self._memory_bytes())
        except Exception:
            self._forget()
            raise

    def _memory_bytes(self) -> int:
        """Return what a decoder takes that has been given every set."""
        most = max(self._sequences.values(), key=lambda each: each.memory_bytes, default=None)
        if most is None:
            return MOST_BYTES
        tables = max(each.set_bytes for each in self._sequences.values()) * len(self._pictures)
        return MOST_BYTES + most.memory_bytes + tables

    def _forget(self) -> None:
        self._units.clear()
        self._sequences.clear()
        self._pictures.clear()
        self._at_decoder.clear()
