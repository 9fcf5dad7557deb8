"""How many frames a stream went on by from one that was shown to the next.

A tracker counts frames, and those that were lost on their way count too: things moved meanwhile.
"""

from __future__ import annotations

from collections import deque
from statistics import median

# Of so many gaps between frames the middle one is taken for the time of a frame.
REMEMBERED = 15
FEWEST = 5


class FrameSteps:
    """Counts by the frames' times where these are known, else by the packets that were lost."""

    def __init__(self) -> None:
        self._gaps: deque[int] = deque(maxlen=REMEMBERED)
        self._before = -1
        self._lost = 0

    def lost(self) -> None:
        """Count a packet that was lost or damaged."""
        self._lost += 1

    def step(self, time_us: int) -> int:
        """Return how many frames later this one is, at least 1.

        Args:
            time_us: of it, or -1.
        """
        lost, self._lost = self._lost, 0
        before, self._before = self._before, time_us
        gap = time_us - before
        if time_us < 0 or before < 0 or gap <= 0:
            return 1 + lost
        self._gaps.append(gap)
        if len(self._gaps) < FEWEST:
            return 1 + lost
        return max(1, round(gap / median(self._gaps)))
