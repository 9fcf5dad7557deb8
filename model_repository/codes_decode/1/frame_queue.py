"""The frames of a stream between decoder and answers: which are to be shown, and whose they are."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    import av

    from pictures import Order, Place

# Pictures whose frame has not come: more than a decoder holds. The rest never will.
MOST_SENT = 64


@dataclass(frozen=True)
class DecodedFrame:
    """A frame and the timestamp of the packet that it came in."""

    frame: av.VideoFrame
    timestamp: int


class _Sent(NamedTuple):
    """A picture that went to the decoder."""

    timestamp: int
    place: Place


class _Ready(NamedTuple):
    """A frame that is to be the answer to one of the next packets."""

    number: int
    decoded: DecodedFrame


class FrameQueue:
    """Remembers the pictures that went to the decoder, and keeps the frames that came out.

    Args:
        left: called with the place of each frame that left the decoder.

    Attributes:
        number: of the last picture; 0 before the first.
    """

    def __init__(self, left: Callable[[Order], None]) -> None:
        self._left = left
        self._sent: dict[int, _Sent] = {}
        self._ready: deque[_Ready] = deque()
        self.number = 0

    def send(self, timestamp: int, place: Place) -> int:
        """Remember a picture; return its number, the same one for both fields of a frame."""
        if not place.second:
            self.number += 1
            self._sent[self.number] = _Sent(timestamp, place)
            if len(self._sent) > MOST_SENT:
                del self._sent[next(iter(self._sent))]
        return self.number

    def withhold(self, number: int) -> None:
        """Have a frame not shown."""
        sent = self._sent.get(number)
        if sent is not None:
            self._sent[number] = sent._replace(place=sent.place._replace(right=False))

    def take(
        self,
        frames: list[tuple[int, av.VideoFrame]],
        shown_from: Order | None,
        damaged: int | None = None,
    ) -> int | None:
        """Take what left the decoder, up to a damaged picture; others may refer to that one.

        Args:
            frames: with their numbers.
            shown_from: what is shown before this picture is not right; None where nothing is.
            damaged: number of the first picture that is known to be, if one is.

        Returns:
            The number of the first picture that is damaged, or None.
        """
        for number, frame in frames:
            sent = self._sent.pop(number, None)
            if sent is None:
                continue
            self._left(sent.place.order)
            if not sent.place.is_shown(shown_from):
                continue
            if not frame.is_corrupt:
                self._ready.append(_Ready(number, DecodedFrame(frame, sent.timestamp)))
            elif sent.place.referred:
                damaged = number if damaged is None else min(damaged, number)
        if damaged is not None:
            self._ready = deque(ready for ready in self._ready if ready.number < damaged)
        return damaged

    def forget_sent(self) -> None:
        """Forget the pictures whose frames have not come."""
        self._sent.clear()

    def clear(self) -> None:
        """Forget all of it."""
        self._sent.clear()
        self._ready.clear()

    def next(self) -> DecodedFrame | None:
        """Return the next frame, if one is ready."""
        return self._ready.popleft().decoded if self._ready else None
