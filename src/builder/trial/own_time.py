"""Seconds that something takes, however busy the machine is with others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def measured_seconds() -> Iterator[Callable[[], float]]:
    """Yield what returns, once the block is left, the seconds that it took.

    They are those on the wall, or those of all of this process's threads on a processor where that
    is less: then it stood still while others ran.
    """
    wall, own = time.perf_counter(), time.process_time()
    taken: list[float] = []
    yield lambda: taken[0]
    taken.append(min(time.perf_counter() - wall, time.process_time() - own))
