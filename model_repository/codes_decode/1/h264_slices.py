"""The header of a slice of H.264: 7.3.3, as far as it tells what becomes of the pictures."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from bits import BitReader, EndOfBitsError, without_emulation_prevention
from h264_sets import H264PictureSet, H264SequenceSet
from nal_units import Kind

if TYPE_CHECKING:
    from known_sets import KnownSets
    from nal_units import NalUnit

# A header is mostly a dozen bytes; with weights for 32 references it is long.
SHORT_BYTES, LONG_BYTES = 48, 2048
MOST_REFERENCES = 32
# modification_of_pic_nums_idc: table 7-7.
LAST_NAMED = 3
# memory_management_control_operation: table 7-9.
FORGET_ALL, KEEP_THIS_LONG = 5, 6
LAST_OPERATION = 6
NUMBERS_OF_OPERATION = {3: 2, FORGET_ALL: 0}
MOST_OPERATIONS = 66


class SliceType(enum.IntEnum):
    """``slice_type`` modulo 5: table 7-6."""

    P = 0
    B = 1
    I = 2  # noqa: E741 - the standard's name
    SP = 3
    SI = 4


INTRA = frozenset({SliceType.I, SliceType.SI})


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceHeader:
    """What the header of a slice says of its picture.

    Attributes:
        sequence: the sequence set.
        picture_set: number of the picture parameter set.
        key: whether it is of an IDR picture.
        reference: whether later pictures may refer to it.
        kind: ``slice_type``.
        number: ``frame_num``.
        field: whether the picture is one field of a frame.
        bottom: whether it is the bottom field.
        order: ``pic_order_cnt_lsb``; 0 where order has another type.
        order_deltas: ``delta_pic_order_cnt_bottom``, and both of ``delta_pic_order_cnt``.
        entries: of each of the slice's lists of references.
        named: pictures that stand first in these lists, each as a
            ``modification_of_pic_nums_idc`` and its number.
        marking: each ``memory_management_control_operation`` with its numbers; None where the
            oldest reference makes room.
    """

    sequence: H264SequenceSet
    picture_set: int
    key: bool
    reference: bool
    kind: SliceType
    number: int
    field: bool
    bottom: bool
    order: int
    order_deltas: tuple[int, int, int]
    entries: tuple[int, ...]
    named: tuple[tuple[tuple[int, int], ...], ...]
    marking: tuple[tuple[int, ...], ...] | None

    @property
    def forgets(self) -> bool:
        """Whether the picture makes the decoder forget all others, as an IDR picture does."""
        return self.marking is not None and (FORGET_ALL,) in self.marking

    def is_of_picture_of(self, other: SliceHeader) -> bool:
        """Return whether both slices are of one picture: 7.4.1.2.4."""
        return all(
            getattr(self, name) == getattr(other, name)
            for name in ("number", "field", "bottom", "reference", "key", "order", "order_deltas")
        )


def begins_picture(unit: NalUnit) -> bool:
    """Return whether a slice is the first of its picture: ``first_mb_in_slice`` is 0."""
    return len(unit.data) > 1 and unit.data[1] >= 0x80


def kind_and_set(unit: NalUnit) -> tuple[SliceType, int]:
    """Return the type of a slice, and which picture parameter set it refers to.

    Raises:
        EndOfBitsError: it is damaged.
    """
    reader = BitReader(without_emulation_prevention(unit.data[1:SHORT_BYTES]))
    reader.unsigned()
    return SliceType(reader.unsigned() % len(SliceType)), reader.unsigned()


def read_slice_header(unit: NalUnit, sets: KnownSets) -> SliceHeader:
    """Read the header of a slice.

    Raises:
        EndOfBitsError: it is damaged.
        MissingSetError: the stream has not sent the parameter sets that it refers to.
    """
    for size in (SHORT_BYTES, LONG_BYTES):
        reader = BitReader(without_emulation_prevention(unit.data[1:size]))
        try:
            return _header(reader, unit, sets)
        except EndOfBitsError:
            if len(unit.data) <= size:
                raise
    raise EndOfBitsError("the header of a slice is too long")


def _header(reader: BitReader, unit: NalUnit, sets: KnownSets) -> SliceHeader:
    reader.unsigned()  # first macroblock
    slice_type = reader.unsigned()
    if slice_type >= 2 * len(SliceType):
        raise EndOfBitsError("there is no such type of slice")
    kind = SliceType(slice_type % len(SliceType))
    picture_set = reader.unsigned()
    found = sets.of_picture(picture_set)
    picture, sequence = cast("tuple[H264PictureSet, H264SequenceSet]", found)
    number = reader.bits(sequence.frame_num_bits)
    field = not sequence.frames_only and reader.flag()
    bottom = field and reader.flag()
    key = unit.kind is Kind.KEY_SLICE
    if key:
        reader.unsigned()  # idr_pic_id
    order = reader.bits(sequence.order_bits)
    frame_deltas = picture.bottom_order and not field
    of_bottom = reader.signed() if sequence.order_type == 0 and frame_deltas else 0
    deltas = [0, 0]
    if sequence.order_deltas:
        deltas[0] = reader.signed()
        deltas[1] = reader.signed() if frame_deltas else 0
    if picture.redundant:
        reader.unsigned()
    entries, named = _lists(reader, kind, picture)
    if picture.weighted_both if kind is SliceType.B else picture.weighted and entries:
        _skip_weights(reader, entries, has_chroma=sequence.has_chroma)
    return SliceHeader(
        sequence=sequence,
        picture_set=picture_set,
        key=key,
        reference=unit.reference,
        kind=kind,
        number=number,
        field=field,
        bottom=bottom,
        order=order,
        order_deltas=(of_bottom, deltas[0], deltas[1]),
        entries=entries,
        named=named,
        marking=_marking(reader, key=key) if unit.reference else None,
    )


def _lists(
    reader: BitReader, kind: SliceType, picture: H264PictureSet
) -> tuple[tuple[int, ...], tuple[tuple[tuple[int, int], ...], ...]]:
    """Read the lists of references: how long they are, and which pictures come first."""
    if kind in INTRA:
        return (), ()
    lists = 2 if kind is SliceType.B else 1
    if kind is SliceType.B:
        reader.skip(1)  # direct prediction
    entries = picture.references[:lists]
    if reader.flag():
        entries = tuple(1 + reader.unsigned() for _ in range(lists))
    if max(entries) > MOST_REFERENCES:
        raise EndOfBitsError("too many references")
    return entries, tuple(_named(reader) for _ in range(lists))


def _named(reader: BitReader) -> tuple[tuple[int, int], ...]:
    """Read how a list of references differs from the usual one: 7.3.3.1."""
    found: list[tuple[int, int]] = []
    if not reader.flag():
        return ()
    while len(found) <= MOST_REFERENCES:
        operation = reader.unsigned()
        if operation == LAST_NAMED:
            return tuple(found)
        if operation > LAST_NAMED:
            break
        found.append((operation, reader.unsigned()))
    raise EndOfBitsError("a list of references is damaged")


def _skip_weights(reader: BitReader, entries: tuple[int, ...], *, has_chroma: bool) -> None:
    """Pass over the weights of references: 7.3.3.2."""
    reader.unsigned()
    if has_chroma:
        reader.unsigned()
    for _ in range(sum(entries)):
        for numbers in (2, 4) if has_chroma else (2,):
            if reader.flag():
                for _ in range(numbers):
                    reader.signed()


def _marking(reader: BitReader, *, key: bool) -> tuple[tuple[int, ...], ...] | None:
    """Read which pictures are not needed any more, or for long: 7.3.3.3."""
    if key:
        reader.skip(1)  # what becomes of pictures before
        return ((KEEP_THIS_LONG, 0),) if reader.flag() else None
    if not reader.flag():
        return None
    found: list[tuple[int, ...]] = []
    while len(found) <= MOST_OPERATIONS:
        operation = reader.unsigned()
        if operation == 0:
            return tuple(found)
        if operation > LAST_OPERATION:
            break
        numbers = NUMBERS_OF_OPERATION.get(operation, 1)
        found.append((operation, *(reader.unsigned() for _ in range(numbers))))
    raise EndOfBitsError("the marking of references is damaged")
