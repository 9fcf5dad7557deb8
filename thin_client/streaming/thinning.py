"""Leaving frames out, so that no more than so many a second are left."""

from __future__ import annotations

__all__ = ["Thinner"]

# A rate that differs by less is the same one, measured by another clock.
SAME_RATE = 1.01


class Thinner:
    """Chooses frames by their times: as many as are wanted on average, spread as evenly as can be.

    A divisor, every second frame or third, has few rates: 25 of 30 frames a second is none.

    Args:
        fps: frames per second that are wanted.
        source_fps: of the source, on average.
    """

    def __init__(self, fps: float, source_fps: float) -> None:
        self._period_us: float | None = 1e6 / fps if source_fps > SAME_RATE * fps else None
        # The frame nearest to when one is due, whichever side of it.
        self._early_us = 5e5 / source_fps
        self._due_us: float | None = None

    def wants(self, time_us: int) -> bool:
        """Return whether the frame of this time stays; times go up."""
        if self._period_us is None:
            return True
        if self._due_us is None:
            self._due_us = time_us
        if time_us + self._early_us < self._due_us:
            return False
        # After a pause of the source frames are not made up for.
        self._due_us = max(self._due_us + self._period_us, time_us + self._period_us / 2)
        return True
