"""Which kinds of frames are worth a compilation of their own, by how often they came lately."""

from __future__ import annotations

from collections import Counter, deque
from typing import NamedTuple

# Frames that are remembered.
LATELY = 256
# Frames of a kind before it is wanted: pictures of a size that comes a few times are answered
# without.
AGAIN = 16
# Compilations at once: two shapes, each for one frame on all cores and for a frame on each.
MOST = 4
# A kind is worth it that is at least one of so many frames: where all sizes come equally often, own
# compilations would take memory and serve hardly anybody.
SHARE = 8
# One that is less than one of so many has had its day.
LEAST_SHARE = 64
# So many sizes without one of their own are a mix.
STRAYS = 3
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
            Whether its kind is to be compiled now, and which one is to go, if any.
        """
        self._lately.append(kind)
        self._count[kind] += 1
        if len(self._lately) > LATELY:
            self._count[self._lately.popleft()] -= 1
        now = self._is_worth_it(kind)
        going = self._outlived()
        if now and going is None and len(self._chosen) >= MOST:
            going = self._rarest()
            if self._count[kind] < OFTEN * self._count[going] + AGAIN:
                return False, None
        if going is not None:
            self._chosen.remove(going)
        if now:
            self._chosen.add(kind)
        return now, going

    def has(self, kind: Kind) -> bool:
        """Return whether a kind is of the set."""
        return kind in self._chosen

    def is_mix(self) -> bool:
        """Return whether frames for a core each came of several sizes that are none of the set."""
        strays = (each for each, count in self._count.items() if count and not each.alone)
        return sum(each not in self._chosen for each in strays) >= STRAYS

    def refuse(self, kind: Kind) -> None:
        """Never choose a kind again: it cannot be compiled."""
        self._chosen.discard(kind)
        self._refused.add(kind)

    def _is_worth_it(self, kind: Kind) -> bool:
        count = self._count[kind]
        known = kind in self._chosen or kind in self._refused
        return not known and count >= AGAIN and count * SHARE >= len(self._lately)

    def _rarest(self) -> Kind:
        return min(self._chosen, key=lambda each: self._count[each])

    def _outlived(self) -> Kind | None:
        if not self._chosen or len(self._lately) < LATELY:
            return None
        rarest = self._rarest()
        return rarest if self._count[rarest] * LEAST_SHARE < LATELY else None
