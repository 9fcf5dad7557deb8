"""What the headers of an access unit say before it is decoded, whichever standard it is of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from parameter_sets import SequenceSet

# Where a picture stands in output order: how many pictures before it made the decoder forget all
# others, and the picture order count of the standards since then.
Order = tuple[int, int]
BEFORE_ALL: Order = (-1, 0)
EARLIEST = -(2**40)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessUnit:
    """An access unit that has a picture.

    Attributes:
        sequence: its sequence set.
        sets: numbers of the picture parameter sets that its slices refer to.
        begins: whether decoding can begin with it.
        lost: whether pictures that it, or those after it, may refer to are missing before it.
        skipped: whether it refers to pictures that never were there, and none that is to be shown
            refers to it.
    """

    sequence: SequenceSet
    sets: frozenset[int]
    begins: bool
    lost: bool
    skipped: bool = False


class Place(NamedTuple):
    """What becomes of a picture.

    Attributes:
        order: where it stands in output order.
        right: whether it refers to none but right pictures, as far as headers tell.
        referred: whether other pictures may refer to it.
        second: whether it is the other field of the frame before.
    """

    order: Order
    right: bool
    referred: bool = True
    second: bool = False

    def is_shown(self, shown_from: Order | None) -> bool:
        """Return whether it is, where pictures are right from ``shown_from`` on, if any are."""
        return self.right and shown_from is not None and self.order >= shown_from
