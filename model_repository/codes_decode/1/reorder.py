"""When a picture may leave the decoder, where an H.264 stream does not say how many come before.

Without ``max_num_reorder_frames`` libavcodec learns it from pictures that come too late to be
shown, and loses those; a player that opens a file looks ahead. Here the picture order count tells
whether one is still to come that is shown before; and a picture that comes later than it should is
shown late, and not lost.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pictures import Order

# Between a frame and the next, of two fields each, in nearly all streams.
STEP = 2
REMEMBERED = 16


class Reordering:
    """Follows which pictures the decoder holds, in decoding order."""

    def __init__(self) -> None:
        self._held: list[Order] = []
        self._shown: deque[Order] = deque(maxlen=REMEMBERED)
        # Up to here nothing is missing.
        self._complete: Order | None = None
        self._latest: Order | None = None
        # Pictures that came after one that is shown after them, as far as is known.
        self._late = 0

    def begin(self) -> None:
        """Forget the pictures: there is a new decoder."""
        self._held.clear()
        self._shown.clear()
        self._complete = self._latest = None

    def decode(self, order: Order, most: int) -> int:
        """Take a picture that the decoder has; return how many are to leave it now.

        Args:
            order: where it stands in output order.
            most: pictures that may be held.
        """
        self._held.append(order)
        self._held.sort()
        self._late = max(self._late, sum(shown > order for shown in self._shown))
        if self._complete is None or order[0] > self._complete[0]:
            self._complete = order
        if self._latest is not None and order > self._latest:
            # Encoders go on to a later picture when they have done all before the last such.
            self._complete = max(self._complete, self._latest)
        self._latest = order if self._latest is None else max(self._latest, order)
        for held in self._held:
            if held <= (self._complete[0], self._complete[1] + STEP):
                self._complete = max(self._complete, held)
        ready = sum(held <= self._complete for held in self._held)
        leave = max(min(ready, len(self._held) - self._late), len(self._held) - most, 0)
        # Of pictures before a recovery point nothing is heard again.
        del self._held[: -most - 1]
        return leave

    def shown(self, order: Order) -> None:
        """Take a picture that left the decoder, and with it all that are shown before it."""
        self._held = [held for held in self._held if held > order]
        self._shown.append(order)
