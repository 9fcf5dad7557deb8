"""The pictures of an H.264 stream: which is missing, where decoding can begin, which are right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from h264_numbers import FrameNumbers
from h264_order import PictureOrder
from h264_references import References
from h264_slices import INTRA, SliceHeader, begins_picture, kind_and_set, read_slice_header
from nal_units import SLICES, NotAnnexBError
from pictures import BEFORE_ALL, EARLIEST, AccessUnit, Order, Place
from recovery_points import recovery_point

if TYPE_CHECKING:
    from collections.abc import Sequence

    from known_sets import KnownSets
    from nal_units import NalUnit

FIELDS_OF_FRAME = 2


@dataclass(frozen=True, slots=True)
class _Looked:
    """What was looked at.

    Attributes:
        pictures: the first slice of each; two where the access unit is a frame in fields.
        slices: all of them, where not all that they may refer to is right; else none.
        left_out: numbers of pictures that the stream may have left out before it.
        begins: whether decoding can begin here.
        count: frames until pictures are right again, where it does.
    """

    pictures: list[SliceHeader]
    slices: list[SliceHeader]
    left_out: list[int]
    begins: bool
    count: int


class H264Pictures:
    """Follows the pictures of a stream, in decoding order.

    Attributes:
        shown_from: what is shown before this picture was made of references that are missing; None
            while that is so of all.
    """

    def __init__(self) -> None:
        self.shown_from: Order | None = None
        self._numbers = FrameNumbers()
        self._orders = PictureOrder()
        self._references = References()
        self._frame = Place(BEFORE_ALL, right=True)
        self._looked: _Looked | None = None
        # Frames that are left until pictures are right again, and the last one's number.
        self._left = 0
        self._number = 0

    def look(self, units: Sequence[NalUnit], sets: KnownSets) -> AccessUnit:
        """Read what the headers of an access unit say of its picture, and remember it.

        Args:
            units: of it; SEIs with a recovery point as :class:`RecoveryUnit`.
            sets: that the stream has sent.

        Raises:
            EndOfBitsError: a header is damaged.
            MissingSetError: the stream has not sent the parameter sets that it refers to.
            NotAnnexBError: it holds more than one frame.
        """
        slices = [unit for unit in units if unit.kind in SLICES]
        pictures = _pictures(slices, sets)
        first, first_slices = pictures[0]
        point = recovery_point(units)
        kinds = [kind_and_set(unit) for unit in slices[1:]]
        intra = first.kind in INTRA and all(
            kind in INTRA for kind, _ in kinds[: len(first_slices) - 1]
        )
        # Some encoders call pictures recovery points that refer to others.
        begins = first.key or (point is not None and (point.count > 0 or intra))
        missing = self._numbers.missing_before(first)
        gaps = first.sequence.gaps_allowed and not first.field
        doubtful = gaps and (missing or not self._references.all_right)
        self._looked = _Looked(
            pictures=[header for header, _ in pictures],
            slices=[read_slice_header(unit, sets) for unit in slices] if doubtful else [],
            left_out=missing,
            begins=begins,
            count=point.count if point is not None and not first.key else 0,
        )
        return AccessUnit(
            sequence=first.sequence,
            sets=frozenset({first.picture_set, *(number for _, number in kinds)}),
            begins=begins,
            lost=(point is not None and point.broken)
            or self._numbers.lacks_field_before(first)
            or bool(missing and not first.sequence.gaps_allowed)
            or bool(doubtful and begins),
        )

    def begin(self) -> None:
        """Let decoding begin with the access unit that was looked at."""
        assert self._looked is not None  # noqa: S101
        self._numbers.begin()
        self._orders.begin()
        self._references.begin()
        self.shown_from = None
        self._left = self._looked.count
        self._number = self._looked.pictures[0].number
        self._looked.left_out.clear()

    def advance(self) -> Place:
        """Take the access unit that was looked at for decoded; return what becomes of its frame."""
        looked = self._looked
        assert looked is not None  # noqa: S101
        gaps = looked.pictures[0].sequence.gaps_allowed
        if gaps:
            self._references.leave_out(looked.left_out, looked.pictures[0])
        for number, header in enumerate(looked.pictures):
            second = self._numbers.is_second_field(header)
            self._numbers.advance(header)
            order = self._orders.advance(header)
            if not second:
                right = all(self._references.are_right(each, order[1]) for each in looked.slices)
                self._frame = Place(order, right, header.reference)
                if self.shown_from is None and self._is_recovered(header):
                    # What comes after a key picture is right, also what is shown before it.
                    self.shown_from = (order[0], EARLIEST) if header.key else order
            elif number == 0:
                self._frame = self._frame._replace(second=True)
            if gaps and not header.field:
                self._references.advance(header, order[1], right=self._frame.right)
        return self._frame

    @property
    def between_fields(self) -> bool:
        """Whether the last frame lacks its second field."""
        return self._numbers.between_fields

    def _is_recovered(self, header: SliceHeader) -> bool:
        """Return whether a frame, and so all that are shown after it, is right again."""
        assert self._looked is not None  # noqa: S101
        if header.number != self._number:
            self._left -= 1
        self._number = 0 if header.forgets else header.number
        if self._looked.begins and self._looked.count == 0:
            return True
        return header.reference and self._left <= 0


def _pictures(
    slices: Sequence[NalUnit], sets: KnownSets
) -> list[tuple[SliceHeader, list[NalUnit]]]:
    """Return the pictures of an access unit, two where it is a frame in fields, with slices."""
    pictures: list[tuple[SliceHeader, list[NalUnit]]] = []
    for unit in slices:
        if not pictures or begins_picture(unit):
            header = read_slice_header(unit, sets)
            # A redundant slice is of the picture that it repeats.
            if not any(header.is_of_picture_of(other) for other, _ in pictures):
                pictures.append((header, []))
        pictures[-1][1].append(unit)
    first, *others = (header for header, _ in pictures)
    if len(others) >= FIELDS_OF_FRAME or not all(
        other.field and first.field and other.bottom != first.bottom for other in others
    ):
        raise NotAnnexBError("it holds more than one frame")
    return pictures
