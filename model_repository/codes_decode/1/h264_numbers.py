"""Noticing that a picture of an H.264 stream is missing: the numbers of its frames have a gap.

libavcodec conceals such a loss and says nothing of it. H.265 needs none of this: every slice there
names the pictures that it refers to, and the decoder reports one that it has not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from parameter_sets import MOST_PICTURES

if TYPE_CHECKING:
    from h264_slices import SliceHeader


class _Field(NamedTuple):
    """A field whose frame has no other yet."""

    number: int
    bottom: bool
    reference: bool


class FrameNumbers:
    """Follows ``frame_num`` through a stream, as in 7.4.3 of H.264.

    A loss of as many references as there are numbers, 16 at the fewest, cannot be seen.
    """

    def __init__(self) -> None:
        self._last_reference: int | None = None
        self._first_field: _Field | None = None
        self._has_pairs = False
        self._has_single_fields = False

    def begin(self) -> None:
        """Forget the pictures: the next one begins a stream."""
        self._last_reference = None
        self._first_field = None
        self._has_single_fields = False

    @property
    def between_fields(self) -> bool:
        """Whether the last picture was a field of which the other half is to come."""
        return self._first_field is not None

    def is_second_field(self, header: SliceHeader) -> bool:
        """Return whether a picture is the other half of the frame that the last one began."""
        first = self._first_field
        return (
            first is not None
            and header.field
            and header.bottom != first.bottom
            and header.number == first.number
            and (first.reference or not header.reference)
        )

    def lacks_field_before(self, header: SliceHeader) -> bool:
        """Return whether a field is missing that others refer to, before this picture."""
        if header.key:
            return False
        # A stream has pairs of fields or single ones, and of both only where some are lost.
        if self.is_second_field(header):
            return self._has_single_fields
        return self._has_pairs and self._lacks_second_field()

    def missing_before(self, header: SliceHeader) -> list[int]:
        """Return the numbers of pictures that others refer to and that are missing, the last ones.

        Where the stream may leave out numbers these may be some of those.
        """
        if header.key or self._last_reference is None or self.is_second_field(header):
            return []
        size = 1 << header.sequence.frame_num_bits
        # As a picture has not the number of the one before, all may be missing.
        count = (header.number - self._last_reference - 1) % size
        return [(header.number - back) % size for back in range(min(count, MOST_PICTURES), 0, -1)]

    def advance(self, header: SliceHeader) -> None:
        """Take a picture for decoded."""
        number = 0 if header.forgets else header.number
        if self.is_second_field(header):
            self._first_field = None
            self._has_pairs = True
        else:
            self._has_single_fields |= self._lacks_second_field()
            # What was before a key picture is of no use any more.
            self._has_single_fields &= not header.key
            first = _Field(number, header.bottom, header.reference)
            self._first_field = first if header.field else None
        if header.reference:
            self._last_reference = number

    def _lacks_second_field(self) -> bool:
        return self._first_field is not None and self._first_field.reference
