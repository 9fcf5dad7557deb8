"""How fast frames of one connection, or of one address, are taken."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """Lets ``rate`` frames a second pass, and a few at once after a pause.

    Args:
        rate: frames a second.
        burst: frames that may come at once.
        clock: seconds, monotonic.
    """

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval_s = 1 / rate
        self._leeway_s = (burst - 1) / rate
        self._clock = clock
        self._next = clock() - self._leeway_s

    @property
    def rested(self) -> bool:
        """Whether all of the leeway is there again, so that a new pace would be no other."""
        return self._next <= self._clock() - self._leeway_s

    def take(self) -> bool:
        """Take a place if there is one at once; return whether."""
        now = self._clock()
        if self._next > now:
            return False
        self.wait_s()
        return True

    def wait_s(self) -> float:
        """Take the next place and return the seconds until it comes, 0 for at once."""
        now = self._clock()
        self._next = max(self._next, now - self._leeway_s)
        wait_s = max(0.0, self._next - now)
        self._next += self._interval_s
        return wait_s
