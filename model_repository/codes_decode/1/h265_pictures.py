"""The pictures of an H.265 stream: where decoding can begin, and which are right.

Which are missing the decoder says itself: every slice names the pictures that are kept, by their
place in output order. Only where that begins anew with a key picture that is lost, the names mean
others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from bits import BitReader, EndOfBitsError, without_emulation_prevention
from h265_sets import H265PictureSet, H265SequenceSet
from nal_units import SLICES, Kind
from pictures import BEFORE_ALL, AccessUnit, Order, Place
from recovery_points import recovery_point

if TYPE_CHECKING:
    from collections.abc import Sequence

    from known_sets import KnownSets
    from nal_units import NalUnit

# What is read of a slice's header.
HEADER_BYTES = 32
# nuh_temporal_id_plus1.
LOWEST_SUB_LAYER = 1
# nal_unit_type: table 7-1. Pictures below 16 with an even type are referred to by none of their
# sub-layer; RADL and RASL pictures are shown before the key picture that they come after.
FIRST_KEY, CRA = 16, 21
IDR = frozenset({19, 20})
BROKEN_LINKS = frozenset({16, 17, 18})
DECODABLE_LEADING = frozenset({6, 7})
SKIPPED_LEADING = frozenset({8, 9})


@dataclass(frozen=True, slots=True)
class _Looked:
    """What was looked at: the beginning of a slice's header."""

    sequence: H265SequenceSet
    type: int
    sub_layer: int
    order: int
    # Whether no other picture before it is referred to, nor by those shown before it.
    alone: bool
    ends: bool
    count: int


class H265Pictures:
    """Follows the pictures of a stream, in decoding order.

    Attributes:
        shown_from: what is shown before this picture was made of references that are missing.
    """

    def __init__(self) -> None:
        self.shown_from: Order | None = None
        self._looked: _Looked | None = None
        self._forgotten = 0
        # Of the last picture of the lowest sub-layer that others refer to.
        self._high: int | None = None
        self._low = 0
        # The latest in output order since that began, as many as may come before one that is shown
        # before them, and one more.
        self._latest: list[int] = []
        self._skips_leading = True
        self._ended = False

    def look(self, units: Sequence[NalUnit], sets: KnownSets) -> AccessUnit:
        """Read what the headers of an access unit say of its picture, and remember it.

        Args:
            units: of it; SEIs with a recovery point as :class:`RecoveryUnit`.
            sets: that the stream has sent.

        Raises:
            EndOfBitsError: a header is damaged.
            MissingSetError: the stream has not sent the parameter sets that it refers to.
        """
        kinds = [unit.kind for unit in units]
        at = next(number for number, kind in enumerate(kinds) if kind in SLICES)
        unit, point = units[at], recovery_point(units)
        picture, sequence, order = _read_slice(unit, sets)
        ended = self._ended or Kind.END in kinds[:at]
        self._looked = looked = _Looked(
            sequence=sequence,
            type=unit.type,
            sub_layer=unit.data[1] & 7,
            order=order,
            alone=unit.type in IDR or unit.type in BROKEN_LINKS or (unit.type == CRA and ended),
            ends=Kind.END in kinds[at:],
            count=point.count if point is not None else 0,
        )
        most_later = sequence.most_reorder
        late = len(self._latest) > most_later and self._count(looked) < self._latest[0]
        return AccessUnit(
            sequence=sequence,
            sets=frozenset({picture.identity}),
            begins=unit.kind is Kind.KEY_SLICE or point is not None,
            lost=late and not looked.alone,
            skipped=unit.type in SKIPPED_LEADING and self._skips_leading,
        )

    def begin(self) -> None:
        """Let decoding begin with the access unit that was looked at."""
        self._high = None
        self.shown_from = None

    def advance(self) -> Place:
        """Take the access unit that was looked at for decoded; return what becomes of it."""
        looked = self._looked
        assert looked is not None  # noqa: S101
        key, begins = looked.type >= FIRST_KEY, self._high is None
        if key:
            self._skips_leading = looked.alone or begins
        if begins or looked.alone:
            self._forgotten += 1
            self._high, self._low = 0, looked.order
            self._latest.clear()
        count = self._count(looked)
        leading = looked.type in DECODABLE_LEADING or looked.type in SKIPPED_LEADING
        is_referred_to = key or looked.type % 2 == 1
        if looked.sub_layer == LOWEST_SUB_LAYER and is_referred_to and not leading:
            self._high, self._low = count - looked.order, looked.order
        self._latest = sorted({*self._latest, count})[-1 - looked.sequence.most_reorder :]
        order = self._forgotten, count
        if self.shown_from is None:
            self.shown_from = BEFORE_ALL if key else (order[0], order[1] + looked.count)
        elif key and order < self.shown_from:
            self.shown_from = order
        self._ended = looked.ends
        referred = is_referred_to or looked.sequence.layered
        return Place(order, right=True, referred=referred)

    @property
    def between_fields(self) -> bool:
        """Whether a frame lacks its second field: never, fields are pictures of their own here."""
        return False

    def _count(self, looked: _Looked) -> int:
        """Return the picture order count: 8.3.1."""
        high, size = self._high or 0, 1 << looked.sequence.order_bits
        if self._low - looked.order >= size // 2:
            high += size
        elif looked.order - self._low > size // 2:
            high -= size
        return high + looked.order


def _read_slice(unit: NalUnit, sets: KnownSets) -> tuple[H265PictureSet, H265SequenceSet, int]:
    """Return the sets and the order's low bits of a slice: the beginning of 7.3.6.1."""
    reader = BitReader(without_emulation_prevention(unit.data[2:HEADER_BYTES]))
    if not reader.flag():
        raise EndOfBitsError("the first slice of the picture is missing")
    if unit.type >= FIRST_KEY:
        reader.skip(1)  # what becomes of pictures before
    found = sets.of_picture(reader.unsigned())
    picture, sequence = cast("tuple[H265PictureSet, H265SequenceSet]", found)
    reader.skip(picture.extra_bits)
    reader.unsigned()  # type
    reader.skip(picture.output_flag + 2 * sequence.separate_planes)
    return picture, sequence, 0 if unit.type in IDR else reader.bits(sequence.order_bits)
