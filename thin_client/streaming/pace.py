"""Waiting until a file's frames are due, so that they come as from a camera."""

from __future__ import annotations

import time
from collections.abc import Callable

from thin_client.streaming.clock import LONGEST_STEP_US

__all__ = ["Pace"]


class Pace:
    """Keeps a file's time, from its first frame on.

    Args:
        wait: waits for so many seconds, or less when nobody wants to any more.
        clock: seconds.
    """

    def __init__(
        self, wait: Callable[[float], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._wait = wait
        self._clock = clock
        self._began: float | None = None

    def wait_for(self, due_us: int) -> None:
        """Return when a frame is due, and after ``LONGEST_STEP_US`` at the latest.

        Nobody waits longer for a picture; the frames after it then come that much earlier.
        """
        due_s, now = due_us / 1e6, self._clock()
        if self._began is None:
            self._began = now - due_s
        self._began -= max(0.0, self._began + due_s - now - LONGEST_STEP_US / 1e6)
        self._wait(max(0.0, self._began + due_s - now))
