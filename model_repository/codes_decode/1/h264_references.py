"""Whether the references of a picture are there, where an H.264 stream may leave out numbers.

With ``gaps_in_frame_num_value_allowed_flag`` an encoder, or whoever thins its stream, may leave out
pictures that it makes no use of any more, and a gap is no loss. Then the lists of references tell:
what stands first in them is used. As in 8.2.4 and 8.2.5, for streams of frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from h264_slices import FORGET_ALL, SliceType
from parameter_sets import MOST_PICTURES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from h264_slices import SliceHeader

# modification_of_pic_nums_idc.
SUBTRACT, LONG_TERM = 0, 2
# memory_management_control_operation.
FORGET, FORGET_LONG, KEEP_LONG, FORGET_LONGER = 1, 2, 3, 4


@dataclass(slots=True, eq=False)
class _Reference:
    """A picture that is kept.

    Attributes:
        number: ``frame_num``.
        order: where it stands in output order; None where the picture was left out.
        right: whether it is what was encoded.
        long: ``LongTermFrameIdx``; None of a short-term reference.
    """

    number: int
    order: int | None
    right: bool
    long: int | None = None


class References:
    """Follows the pictures that are kept, in decoding order."""

    def __init__(self) -> None:
        self._kept: list[_Reference] = []

    @property
    def all_right(self) -> bool:
        """Whether all are there, and are what was encoded."""
        return all(each.right for each in self._kept)

    def begin(self) -> None:
        """Forget all of them."""
        self._kept.clear()

    def leave_out(self, numbers: Sequence[int], header: SliceHeader) -> None:
        """Take pictures for left out: 8.2.5.2.

        Args:
            numbers: ``frame_num`` of each.
            header: of the picture that comes after them.
        """
        for number in numbers:
            self._make_room(number, header)
            self._kept.append(_Reference(number, None, right=False))

    def are_right(self, header: SliceHeader, order: int) -> bool:
        """Return whether the pictures that a slice refers to are there, and what was encoded.

        Args:
            header: of the slice.
            order: where its picture stands.
        """
        lists = self._usual_lists(header, order)
        return all(
            self._is_right(lists[index], header, index) for index in range(len(header.entries))
        )

    def advance(self, header: SliceHeader, order: int, *, right: bool) -> None:
        """Take a picture for decoded.

        Args:
            header: of its first slice.
            order: where it stands.
            right: whether it is what was encoded.
        """
        if not header.reference:
            return
        this = _Reference(0 if header.forgets else header.number, order, right)
        if header.key:
            self._kept.clear()
        elif header.marking is None:
            self._make_room(header.number, header)
        for operation in header.marking or ():
            self._mark(operation, this, header)
        self._kept.append(this)
        # More there are of no valid stream.
        del self._kept[:-MOST_PICTURES]

    def _usual_lists(self, header: SliceHeader, order: int) -> list[list[_Reference]]:
        """Return the lists of a slice that names no pictures: 8.2.4.2."""
        short = [each for each in self._kept if each.long is None]
        long = sorted((each for each in self._kept if each.long is not None), key=_long)
        if header.kind is not SliceType.B:
            return [[*sorted(short, key=lambda each: _age(each, header.number, header)), *long]]
        seen = sorted((each for each in short if each.order is not None), key=_order)
        before = [each for each in reversed(seen) if _order(each) < order]
        after = [each for each in seen if _order(each) >= order]
        lists = [[*before, *after, *long], [*after, *before, *long]]
        if header.entries[1] > 1 and lists[0] == lists[1]:
            lists[1][:2] = lists[1][1::-1]
        return lists

    def _is_right(self, usual: list[_Reference], header: SliceHeader, index: int) -> bool:
        """Return whether the pictures of a list are right, as far as they are used: 8.2.4.3."""
        number, entries = header.number, header.entries[index]
        first: list[_Reference] = []
        for operation, value in header.named[index][:entries]:
            if operation == LONG_TERM:
                found = next((each for each in self._kept if each.long == value), None)
            else:
                number += -value - 1 if operation == SUBTRACT else value + 1
                found = self._short(number % _size(header))
            if found is None or not found.right:
                return False
            first.append(found)
        whole = [*first, *(each for each in usual if each not in first)][:entries]
        # Further down there may be pictures that were left out, because nothing refers to them.
        return all(
            each.right or (each.order is None and place > 0) for place, each in enumerate(whole)
        )

    def _make_room(self, number: int, header: SliceHeader) -> None:
        """Forget the oldest short-term reference where there is no room for another: 8.2.5.3."""
        short = [each for each in self._kept if each.long is None]
        if short and len(self._kept) >= header.sequence.kept:
            oldest = max(short, key=lambda each: _age(each, number, header))
            self._forget(lambda each: each is oldest)

    def _mark(self, operation: tuple[int, ...], this: _Reference, header: SliceHeader) -> None:
        """Do what a picture says of those that are kept: 8.2.5.4."""
        kind, *numbers = operation
        if kind in {FORGET, KEEP_LONG}:
            found = self._short((header.number - numbers[0] - 1) % _size(header))
            if kind == FORGET:
                self._forget(lambda each: each is found)
            elif found is not None:
                self._forget(lambda each: each.long == numbers[1])
                found.long = numbers[1]
        elif kind == FORGET_LONG:
            self._forget(lambda each: each.long == numbers[0])
        elif kind == FORGET_LONGER:
            self._forget(lambda each: each.long is not None and each.long >= numbers[0])
        elif kind == FORGET_ALL:
            self._kept.clear()
        else:
            self._forget(lambda each: each.long == numbers[0])
            this.long = numbers[0]

    def _short(self, number: int) -> _Reference | None:
        found = (each for each in self._kept if each.long is None and each.number == number)
        return next(found, None)

    def _forget(self, which: Callable[[_Reference], bool]) -> None:
        self._kept = [each for each in self._kept if not which(each)]


def _size(header: SliceHeader) -> int:
    return 1 << header.sequence.frame_num_bits


def _age(reference: _Reference, number: int, header: SliceHeader) -> int:
    """Return how many pictures ago one was kept; the order of FrameNumWrap, from the last on."""
    return (number - reference.number) % _size(header)


def _order(reference: _Reference) -> int:
    return reference.order or 0


def _long(reference: _Reference) -> int:
    return reference.long or 0
