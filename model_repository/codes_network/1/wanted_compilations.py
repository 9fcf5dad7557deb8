"""Which kinds of frames are worth a compilation of their own, by how often they came lately."""

from __future__ import annotations

from collections import Counter, deque
from typing import NamedTuple

# Frames that are remembered.
LATELY = 256
# A kind is wanted with its second frame: one picture of a strange shape is answered without.
AGAIN = 2
# Compilations at once: three shapes, each for one frame on all cores and for a frame on each.
MOST = 6
# So many times as often as another must a kind come that takes its place.
OFTEN = 2


class Kind(NamedTuple):
    """What a compilation is for.

    Attributes:
        height: of the frames, pixels.
        width: likewise.
        alone: whether for one frame on all cores, else for a frame on each.
    """

    height: int
    width: int
    alone: bool


class WantedCompilations:
    """The bounded set of kinds that have, or are about to have, a compilation.

    Many kinds that come equally often do not push each other out: each costs a compilation.
    """

    def __init__(self) -> None:
        self._lately: deque[Kind] = deque()
        self._count: Counter[Kind] = Counter()
        self._chosen: set[Kind] = set()
        self._refused: set[Kind] = set()

    def came(self, kind: Kind) -> tuple[bool, Kind | None]:
        """Count a frame.

        Returns:
            Whether its kind is to be compiled now, and which one is to go for it.
        """
        self._lately.append(kind)
        self._count[kind] += 1
        if len(self._lately) > LATELY:
            self._count[self._lately.popleft()] -= 1
        count = self._count[kind]
        if kind in self._chosen or kind in self._refused or count < AGAIN:
            return False, None
        if len(self._chosen) < MOST:
            self._chosen.add(kind)
            return True, None
        rarest = min(self._chosen, key=lambda each: self._count[each])
        if count < OFTEN * self._count[rarest] + AGAIN:
            return False, None
        self._chosen.remove(rarest)
        self._chosen.add(kind)
        return True, rarest

    def has(self, kind: Kind) -> bool:
        """Return whether a kind is of the set."""
        return kind in self._chosen

    def is_full(self) -> bool:
        """Return whether another kind would have to go for a new one."""
        return len(self._chosen) >= MOST

    def refuse(self, kind: Kind) -> None:
        """Never choose a kind again: it cannot be compiled."""
        self._chosen.discard(kind)
        self._refused.add(kind)
