"""The memory of every process of a server, while something happens to it."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

from builder.benchmark.memory import process_memory_mb
from builder.errors import BenchmarkError
from tests.drill.servers import Server

EVERY_S = 0.25


@dataclass(frozen=True)
class Look:
    """The memory of every process at one moment.

    Attributes:
        seconds: since the watch began.
        progress: how far the load was.
        memory_mb: of each process, by its name and id, without shared memory, in MB of 2**20 bytes.
    """

    seconds: float
    progress: int
    memory_mb: dict[str, float]

    @property
    def total_mb(self) -> float:
        """Of all processes together."""
        return sum(self.memory_mb.values())


class MemoryWatch:
    """Looks at the processes of servers a few times a second.

    Args:
        servers: asked each time, so that servers may come and go.
        progress: a number that each look is to keep.
    """

    def __init__(
        self, servers: Callable[[], list[Server]], progress: Callable[[], int] = lambda: 0
    ) -> None:
        self.looks: list[Look] = []
        self._servers, self._progress = servers, progress
        self._begun = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def peak_mb(self) -> float:
        """Most that all processes had together at one moment."""
        return max((look.total_mb for look in self.looks), default=0.0)

    def typical_mb(self, first: int, last: int) -> dict[str, float]:
        """The median memory of each process while the load was between two points."""
        looks = [look for look in self.looks if first <= look.progress <= last]
        names = set.intersection(*(set(look.memory_mb) for look in looks)) if looks else set()
        return {
            name: statistics.median(look.memory_mb[name] for look in looks)
            for name in sorted(names)
        }

    def course_mb(self, end: int, steps: int) -> dict[str, list[float]]:
        """The typical memory of each process in each of several equal steps of the load.

        Args:
            end: how far the load came.
            steps: to tell of; those without a look, and processes that were not always there, are
                left out.
        """
        found = [
            typical
            for step in range(steps)
            if (typical := self.typical_mb(end * step // steps, end * (step + 1) // steps - 1))
        ]
        names = set.intersection(*map(set, found)) if found else set()
        return {name: [round(each[name], 2) for each in found] for name in sorted(names)}

    def _watch(self) -> None:
        while not self._stop.is_set():
            found = {}
            for server in self._servers():
                for pid, name in server.processes().items():
                    with suppress(BenchmarkError):  # it ended meanwhile
                        found[f"{name} {pid}"] = process_memory_mb(pid)
            seconds = time.monotonic() - self._begun
            self.looks.append(Look(seconds, self._progress(), found))
            self._stop.wait(EVERY_S)
