"""The frames on their way to the server, and what became of each: nothing is lost unsaid."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container
from dataclasses import dataclass
from typing import Any

from thin_client.contract import ImageStatus
from thin_client.streaming.clock import ShownTimes
from thin_client.streaming.packets import Answer
from thin_client.streaming.units import Unit

__all__ = ["BROKEN", "Arrived", "Ledger"]

# The decoder will have no frame for this packet. Those that it holds may come all the same.
BROKEN = (ImageStatus.WAITING_FOR_KEY_FRAME, ImageStatus.CORRUPT_PACKET)
# A decoder holds back up to 16 frames (H.264, A.3.1; H.265, A.4.2), which may be of two fields.
_MOST_HELD = 33
# Pictures whose units have not left yet: as many as a decoder reorders and an inbox holds. Those of
# units that were dropped are never asked for.
_MOST_EARLY = 32


@dataclass(eq=False)
class _Way:
    """A frame that is on its way.

    Attributes:
        shown: whether its timestamp is when it is shown.
        scale: source pixels for each pixel that was sent.
        taken_at: when the source gave it; monotonic seconds.
        picture: of it, where pictures were asked for.
        answer: which answer was the one to its packet; None before that.
        doubtful: whether the decoder met a fault since then.
    """

    shown: bool
    scale: float
    taken_at: float
    picture: Any
    answer: int | None = None
    doubtful: bool = False


@dataclass(frozen=True, eq=False)
class Arrived:
    """A frame that came back.

    Attributes:
        time_us: of the frame; goes up from one to the next.
        scale: as it was sent.
        taken_at: likewise.
        picture: likewise.
    """

    time_us: int
    scale: float
    taken_at: float
    picture: Any


class Ledger:
    """Tells answers apart, and counts; told by one thread at a time.

    A packet is not a frame: what a decoder holds back comes with later packets, and the second
    field of a frame has none of its own. A frame is lost when the server says so, and when it has
    not come after as many answers as a decoder can hold frames for.

    Attributes:
        sent: packets that left, and of which a frame is to come.
        lost: frames that did not.
    """

    def __init__(self) -> None:
        self._ways: OrderedDict[int, _Way] = OrderedDict()  # in decoding order
        self._early: OrderedDict[int, Any] = OrderedDict()
        self._times = ShownTimes()
        self._answers = 0
        self._last_shown_us = -1
        self.sent = 0
        self.lost = 0

    def leaves(self, unit: Unit, scale: float, picture: Any) -> None:
        """Enter a unit that is sent for the first time."""
        if unit.frame:
            self.sent += 1
            picture = self._early.pop(unit.timestamp_us, picture)
            self._ways[unit.timestamp_us] = _Way(unit.shown, scale, unit.taken_at, picture)

    def draw_into(self, timestamp_us: int, picture: Any) -> None:
        """Enter the picture of a unit, which may have left or may still wait to."""
        way = self._ways.get(timestamp_us)
        if way is not None:
            way.picture = picture
            return
        self._early[timestamp_us] = picture
        while len(self._early) > _MOST_EARLY:
            self._early.popitem(last=False)

    def answered(self, answer: Answer, unit: Unit | None, *, fields: bool) -> Arrived | None:
        """Enter an answer; return its frame, None where it has none that is wanted.

        Args:
            answer: of the server.
            unit: that it answers; None for an empty packet.
            fields: whether packets may be single fields.
        """
        self._answers += 1
        own = None if unit is None else self._ways.get(unit.timestamp_us)
        if own is not None:
            own.answer = self._answers
        self._times.decoded(None if unit is None else unit.timestamp_us)
        if unit is not None and answer.detections.status in BROKEN:
            self._broke(unit)
        way = self._ways.pop(answer.timestamp_us, None)
        self._forget_old(fields=fields)
        if way is None:
            return None
        time_us = self._times.shown(answer.timestamp_us if way.shown else None)
        if way.shown:
            self._last_shown_us = answer.timestamp_us
        return Arrived(time_us, way.scale, way.taken_at, way.picture)

    def interrupted(self, kept: Container[int] = ()) -> None:
        """Say that the connection was lost, and all with it but the units that will be sent again.

        Args:
            kept: timestamps of those.
        """
        self._times.broken()
        for timestamp_us, way in list(self._ways.items()):
            if timestamp_us in kept:
                way.answer = None
            else:
                del self._ways[timestamp_us]
                self.lost += 1

    def ended(self, *, complete: bool, fields: bool) -> None:
        """Say that no answer will come any more.

        Args:
            complete: whether the decoder has given what it held.
            fields: whether packets may be single fields, which have no frame.
        """
        for way in self._ways.values():
            self.lost += way.doubtful or not (complete and fields)
        self._ways.clear()

    def _broke(self, unit: Unit) -> None:
        self._times.broken()
        self.lost += self._ways.pop(unit.timestamp_us, None) is not None
        for timestamp_us, way in self._ways.items():
            # What is shown before a frame that has come was the second field of one.
            passed = way.shown and timestamp_us < self._last_shown_us
            way.doubtful = way.doubtful or (way.answer is not None and not passed)

    def _forget_old(self, *, fields: bool) -> None:
        for timestamp_us, way in list(self._ways.items()):
            if way.answer is None or self._answers - way.answer <= _MOST_HELD:
                return
            del self._ways[timestamp_us]
            self.lost += way.doubtful or not fields
