"""What a source gave and has not left yet: short, and dropped rather than sent late.

A picture that was never encoded can be left out for nothing, so only the newest one waits. A unit
that was encoded elsewhere is needed by those after it, unless it is disposable: when units have
waited too long, what is disposable goes, and where that is not enough, everything up to the next
key frame; half of a group of pictures is of no use.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thin_client.streaming.units import Unit

__all__ = ["Inbox", "Item"]

# A unit that waited longer is late whatever happens to it now.
STALE_S = 0.3
# More of them are late too, whatever their source's clock says: they came faster than they can go.
MOST_UNITS = 256
# Where nothing is dropped, so many wait at most.
_MOST_WAITING = 8


@dataclass(frozen=True)
class Item:
    """One frame of a source.

    Attributes:
        timestamp_us: on the source's clock, microseconds.
        taken_at: when the source gave it; monotonic seconds.
        unit: the packet, where it is to pass as it is.
        picture: the decoded and upright frame (av.VideoFrame), where it is to be encoded or drawn
            into.
    """

    timestamp_us: int
    taken_at: float
    unit: Unit | None = None
    picture: Any = None


class Inbox:
    """A bounded queue between a source and the link; safe between two threads.

    Args:
        every_frame: nothing is dropped; who puts in waits instead.

    Attributes:
        dropped: frames left out so far.
        flushes: how often everything up to a key frame was.
        error: why the source is over, where it broke.
    """

    def __init__(self, every_frame: bool) -> None:
        self._every_frame = every_frame
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._needs_key = False
        self._begun = True
        self.dropped = 0
        self.flushes = 0
        self.error: Exception | None = None

    def put(self, item: Item, now: float) -> None:
        """Take what the source gave at ``now``, dropping what has become stale."""
        with self._changed:
            if self._every_frame:
                while len(self._items) >= _MOST_WAITING and not self._ended:
                    self._changed.wait()
            elif item.unit is None:
                self.dropped += len(self._items)
                self._items.clear()
            else:
                self._drop_stale(now)
            if self._wanted(item):
                self._items.append(item)
                self._begun = True
            else:
                self.dropped += self._begun
            self._changed.notify_all()

    def get(self, timeout_s: float) -> Item | None:
        """Return the next frame, or None when there is none within the time."""
        with self._changed:
            if not self._items and not self._ended:
                self._changed.wait(timeout_s)
            if not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def peek(self) -> Item | None:
        """Return the frame that is next, without taking it."""
        with self._changed:
            return self._items[0] if self._items else None

    def begin_at_key(self) -> None:
        """Drop units until the first key frame, and count none: who joins later never had them."""
        with self._changed:
            self._needs_key, self._begun = True, False

    def need_key(self) -> None:
        """Drop units until a key frame: those before it cannot be decoded any more."""
        with self._changed:
            self._needs_key = True
            waiting, self._items = self._items, deque()
            for item in waiting:
                if self._wanted(item):
                    self._items.append(item)
                else:
                    self.dropped += 1
            self._changed.notify_all()

    def count_dropped(self, frames: int) -> None:
        """Count frames that were lost outside."""
        with self._changed:
            self.dropped += frames

    def end(self, error: Exception | None = None) -> None:
        """Say that the source is over, and why, or that nobody takes anything any more."""
        with self._changed:
            self.error = self.error or error
            self._ended = True
            self._changed.notify_all()

    @property
    def finished(self) -> bool:
        """Whether the source is over and nothing waits."""
        with self._changed:
            return self._ended and not self._items

    def _wanted(self, item: Item) -> bool:
        if not self._needs_key or item.unit is None:
            return True
        if item.unit.key:
            self._needs_key = False
            return True
        return False

    def _is_late(self, items: Sequence[Item], now: float) -> bool:
        too_many = len(items) >= MOST_UNITS
        return bool(items) and (too_many or now - items[0].taken_at > STALE_S)

    def _drop_stale(self, now: float) -> None:
        if not self._is_late(self._items, now):
            return
        kept = [item for item in self._items if not (item.unit and item.unit.disposable)]
        self.dropped += len(self._items) - len(kept)
        # From the newest key frame on is the freshest that can be decoded.
        keys = [n for n, item in enumerate(kept) if item.unit is not None and item.unit.key]
        if self._is_late(kept, now):
            self.flushes += 1
            fresh = bool(keys) and not self._is_late(kept[keys[-1] :], now)
            first = keys[-1] if fresh else len(kept)
            self._needs_key = first == len(kept)
            self.dropped += first
            kept = kept[first:]
        self._items = deque(kept)
