"""The units that are needed to begin a stream again without a gap."""

from __future__ import annotations

from collections import deque

from thin_client.streaming.units import Unit

__all__ = ["Kept"]

# Some minutes of a camera's stream. More than that between two key frames is given up on.
MOST_BYTES = 256 * 2**20


class Kept:
    """Remembers units from a key on, before which every frame has come back.

    A key's own frame comes back after all that are shown before it, so with it everything before
    the key is done, the pictures included that follow the key and are shown before it (open groups
    of pictures). Where pictures are whole only some frames after the key, the one before it is kept
    too, if theirs are whole by then.
    """

    def __init__(self) -> None:
        self._units: deque[Unit] = deque()
        self._keys: deque[tuple[int, Unit]] = deque()  # with how many units were before each
        self._count = 0
        self._bytes = 0
        self._complete = True

    def add(self, unit: Unit) -> None:
        """Remember a unit that is sent for the first time."""
        self._complete = self._complete or unit.key
        if unit.key:
            self._keys.append((self._count, unit))
        self._count += 1
        if self._complete:
            self._units.append(unit)
            self._bytes += len(unit.data)
        if self._bytes > MOST_BYTES:
            self._drop(len(self._units))
            self._complete = False

    def confirm(self, timestamp_us: int) -> None:
        """Let go of what nobody will need again, now that this frame has come back."""
        for at, (number, key) in enumerate(self._keys):
            if key.timestamp_us == timestamp_us:
                before = self._keys[at - 1] if at else None
                if not key.recovery:
                    self._drop_before(number)
                elif before is not None and number - before[0] >= before[1].recovery:
                    self._drop_before(before[0])
                return

    def units(self) -> list[Unit] | None:
        """Return what has to be sent again; None where that was too much to keep."""
        return list(self._units) if self._complete else None

    def _drop_before(self, number: int) -> None:
        self._drop(number - (self._count - len(self._units)))

    def _drop(self, count: int) -> None:
        for _ in range(count):
            self._bytes -= len(self._units.popleft().data)
        first = self._count - len(self._units)
        while self._keys and self._keys[0][0] < first:
            self._keys.popleft()
