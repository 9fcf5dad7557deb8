"""Leaving frames out, so that no more than so many a second are left."""

from __future__ import annotations

__all__ = ["SAME_RATE", "Thinner"]

# A rate that differs by less is the same one, measured by another clock.
SAME_RATE = 1.01


class Thinner:
    """Chooses frames by their times: as many as are wanted on average, spread as evenly as can be.

    A divisor, every second frame or third, has few rates: 25 of 30 frames a second is none.

    Args:
        fps: frames per second that are wanted; None keeps every frame.
        source_fps: of the source, on average, as it says. It may be wrong, as with a camera that
            says nothing: then ``fps`` holds all the same, to within ``SAME_RATE``.
    """

    def __init__(self, fps: float | None, source_fps: float) -> None:
        self._period_us: float | None = None
        if fps is not None:
            more = source_fps > SAME_RATE * fps
            self._period_us = 1e6 / (fps if more else SAME_RATE * fps)
            # The frame nearest to when one is due, whichever side of it.
            self._early_us = min(self._period_us, 1e6 / source_fps) / 2
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
