"""A bound for what one source may give, so that it takes nothing from the others."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["MOST_PACKETS_PER_S", "RateLimit"]

# Twice what a camera of 120 frames a second gives; what it sends more is left on its connection.
MOST_PACKETS_PER_S = 240.0
# A recorder sends at once what it kept: that of two seconds.
_BURST = 480.0


class RateLimit:
    """A token bucket over the packets of a live source.

    Each packet is looked at here, by one interpreter for all sources: one that sends as fast as
    it can, as a file behind a web server does, would leave no time for the others.

    Args:
        wait: waits for so many seconds, or less when nobody wants to any more.
    """

    def __init__(self, wait: Callable[[float], object]) -> None:
        self._wait = wait
        self._room = _BURST
        self._counted: float | None = None

    def count(self, now: float) -> None:
        """Count a packet that came now, monotonic seconds; returns when the next may come."""
        if self._counted is not None:
            since_s = now - self._counted
            self._room = min(_BURST, self._room + since_s * MOST_PACKETS_PER_S)
        self._counted = now
        self._room -= 1
        if self._room < 0:
            self._wait(-self._room / MOST_PACKETS_PER_S)
