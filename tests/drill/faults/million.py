"""A million requests, with an eye on the memory of every process."""

from __future__ import annotations

import multiprocessing
import threading
import time
from contextlib import suppress
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from tests.drill.load import SQUARES, to_the_bit
from tests.drill.memory import MemoryWatch
from tests.drill.outcome import Outcome
from tests.drill.repositories import NAME, waiting_repository
from tests.drill.scale import Scale
from tests.drill.servers import served
from thin_client import Detector, FramewireError

REQUESTS_LONG, REQUESTS_SHORT = 1_000_000, 6_000
SETTLED_LONG, SETTLED_SHORT = 50_000, 2_000
# The memory of every process: at the end against once it has settled. A short run is over before
# every allocator has its pages, so it only shows what leaks with each request.
GROWTH_LONG, GROWTH_SHORT = 0.01, 0.10
# Of the requests, at either end, the median of whose looks counts.
WINDOW = 0.1
# Points of the course of the memory that the JSON keeps.
COURSE = 20
PROCESSES, THREADS = 2, 12
MAX_BATCH = 16
COUNTED_EACH = 10


def run(scale: Scale, folder: Path) -> Outcome:
    """Send them to a pipeline whose network costs nothing, so that all else is at work."""
    requests = scale.of(REQUESTS_LONG, REQUESTS_SHORT)
    settled = scale.of(SETTLED_LONG, SETTLED_SHORT)
    limit = scale.of(GROWTH_LONG, GROWTH_SHORT)
    outcome = Outcome(f"{requests} requests")
    context = multiprocessing.get_context("spawn")
    answered = context.Value("q", 0)
    with served(waiting_repository(folder, delay_ms=0, max_batch=MAX_BATCH)) as server:
        senders = [
            context.Process(
                target=_send, args=(server.url, requests // PROCESSES, bool(n % 2), answered)
            )
            for n in range(PROCESSES)
        ]
        begun = time.monotonic()
        with MemoryWatch(lambda: [server], lambda: answered.value) as watch:
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join()
        seconds = time.monotonic() - begun
    outcome.sent, outcome.answered = requests, answered.value
    outcome.lost = requests - answered.value
    outcome.expect(outcome.lost == 0, f"{outcome.lost} requests were lost")
    outcome.peak_mb = watch.peak_mb
    outcome.memory_mb = watch.course_mb(requests, COURSE)
    window = int((requests - settled) * WINDOW)
    first = watch.typical_mb(settled, settled + window)
    last = watch.typical_mb(requests - window, requests - 1)
    outcome.expect(bool(first) and first.keys() == last.keys(), "a process came or went")
    growths = {}
    for process in first.keys() & last.keys():
        growths[process] = last[process] / first[process] - 1
        outcome.expect(
            growths[process] < limit,
            f"{process} grew by {growths[process]:.1%}, from {first[process]:.1f} to "
            f"{last[process]:.1f} MB",
        )
    grown = ", ".join(f"{name} {value:+.2%}" for name, value in sorted(growths.items()))
    outcome.notes.append(f"{requests / seconds:.0f} requests/s; after {settled} requests: {grown}")
    return outcome


def _send(url: str, requests: int, bls: bool, answered: Synchronized[int]) -> None:
    """Send so many requests from several threads that share a connection."""
    with Detector(url, NAME, bls=bls) as detector:
        expected = to_the_bit(detector.detect(SQUARES[0]))

        def send(count: int) -> None:
            right = 0
            for _ in range(count):
                with suppress(FramewireError):  # what was not answered rightly was lost
                    right += to_the_bit(detector.detect(SQUARES[0])) == expected
                if right == COUNTED_EACH:
                    with answered.get_lock():
                        answered.value += right
                    right = 0
            with answered.get_lock():
                answered.value += right

        each, rest = divmod(requests, THREADS)
        threads = [threading.Thread(target=send, args=(each + (n < rest),)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
