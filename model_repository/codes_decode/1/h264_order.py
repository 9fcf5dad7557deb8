"""Where the pictures of an H.264 stream stand in output order: 8.2.1."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from h264_slices import SliceHeader
    from pictures import Order


class PictureOrder:
    """Follows the picture order count, in decoding order."""

    def __init__(self) -> None:
        self._forgotten = 0
        # Of the last picture that others refer to.
        self._high: int | None = None
        self._low = 0
        # Of the last picture.
        self._number = 0
        self._number_offset = 0

    def begin(self) -> None:
        """Forget the pictures: the next one begins a stream."""
        self._forgotten += 1
        self._high = None
        self._number = self._number_offset = 0

    def advance(self, header: SliceHeader) -> Order:
        """Take a picture for decoded; return where it stands."""
        if header.key:
            self._forgotten += 1
            self._high = self._low = 0
            self._number = self._number_offset = 0
        if header.sequence.order_type == 0:
            top, bottom = self._by_low_bits(header)
        else:
            top, bottom = self._by_number(header)
        count = min(top, bottom) if not header.field else bottom if header.bottom else top
        if header.forgets:
            # What comes after it counts from it.
            self._forgotten += 1
            self._high, self._low = 0, 0 if header.bottom else top - count
            self._number = self._number_offset = 0
            count = 0
        return self._forgotten, count

    def _by_low_bits(self, header: SliceHeader) -> tuple[int, int]:
        size, low = 1 << header.sequence.order_bits, header.order
        if self._high is None:
            self._high, self._low = 0, low
        high = self._high
        if self._low - low >= size // 2:
            high += size
        elif low - self._low > size // 2:
            high -= size
        if header.reference:
            self._high, self._low = high, low
        return high + low, high + low + header.order_deltas[0]

    def _by_number(self, header: SliceHeader) -> tuple[int, int]:
        sequence = header.sequence
        if header.number < self._number:
            self._number_offset += 1 << sequence.frame_num_bits
        self._number = header.number
        number = self._number_offset + header.number
        if sequence.order_type == 2:
            count = 2 * number - (not header.reference)
            return count, count
        if not sequence.offsets:
            number = 0
        elif not header.reference and number > 0:
            number -= 1
        count = 0
        if number > 0:
            cycles, in_cycle = divmod(number - 1, len(sequence.offsets))
            count = cycles * sum(sequence.offsets) + sum(sequence.offsets[: in_cycle + 1])
        if not header.reference:
            count += sequence.offset_non_reference
        top = count + header.order_deltas[1]
        return top, top + sequence.offset_bottom + header.order_deltas[2]
