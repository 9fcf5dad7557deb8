"""Ten times as many calls as a server can answer."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from tests.drill.flood import flood
from tests.drill.load import AT_ONCE, SQUARES, Load, percentile
from tests.drill.memory import MemoryWatch
from tests.drill.outcome import Outcome
from tests.drill.repositories import NAME, waiting_repository
from tests.drill.scale import Scale
from tests.drill.servers import Server, served
from thin_client import Detector, FramewireError, ServerOverloaded

SECONDS_LONG, SECONDS_SHORT = 60.0, 5.0
TIMES_CAPACITY = 10
# A network that takes so long for up to so many images: what limits the server is known and needs
# no core, of which clients and server share few.
DELAY_MS, MAX_BATCH = 250, 4
# Requests that wait before the first step: one run of this network. Two more are on their way to it
# and as many in the hands of the two processes that decode. The default of a build is about a
# second's work of the pipelines that were measured.
MAX_QUEUE = MAX_BATCH
MEASURED_LONG_S, MEASURED_SHORT_S = 5.0, 2.0
# Calls in flight are doubled until the rate does not grow by this much.
WORTH_IT = 1.05
MOST_IN_FLIGHT = 256
# Of the calls that were answered: when many begin at once, the queue of an idle server is full
# until its first step has taken some.
MOST_REFUSED = 0.1
SLOWER_AT_MOST = 2.0
# What the clocks of the short form may be late by, on machines that others use too.
LATE_S = 0.5
NORMAL_S = 5.0
# "Flat": the second half of the flood against its first, of all processes.
MEMORY_GROWTH = 1.05
REFUSED_WITHIN_S = 1.0
NORMAL_CALLS = 10


def run(scale: Scale, folder: Path) -> Outcome:
    """Flood a server; whom it accepts it answers in time, the others it refuses at once."""
    outcome = Outcome()
    seconds = scale.of(SECONDS_LONG, SECONDS_SHORT)
    repository = waiting_repository(
        folder, delay_ms=DELAY_MS, max_batch=MAX_BATCH, max_queue=MAX_QUEUE
    )
    with served(repository) as server:
        rate, p99_s, in_flight = capacity(server, scale.of(MEASURED_LONG_S, MEASURED_SHORT_S))
        outcome.injected = f"{TIMES_CAPACITY} x {rate:.0f} calls/s for {seconds:.0f} s"
        with (
            MemoryWatch(lambda: [server], lambda: int(time.monotonic() * 1e3)) as watch,
            flood(server.url, NAME, rate * TIMES_CAPACITY, seconds) as flooding,
        ):
            begun_ms = int(time.monotonic() * 1e3)
            calls = flooding.result()
            normal_s = _back_to_normal(server, SLOWER_AT_MOST * p99_s)
        outcome.peak_mb = watch.peak_mb
    answered = [call.took_s for call in calls if call.became == "answered"]
    refused = [call.took_s for call in calls if call.became == "refused"]
    outcome.sent, outcome.answered, outcome.refused = len(calls), len(answered), len(refused)
    outcome.lost = len(calls) - len(answered) - len(refused)
    said = Counter(call.became for call in calls) - Counter(("answered", "refused"))
    others = [text for text in said if text not in {"answered", "refused"}]
    outcome.expect(not others, f"{outcome.lost} calls were lost: {others[:2]}")
    flooded_s = percentile(answered, 99)
    outcome.expect(
        flooded_s <= SLOWER_AT_MOST * p99_s + scale.of(0.0, LATE_S),
        f"p99 of the accepted is {flooded_s * 1e3:.0f} ms, at capacity {p99_s * 1e3:.0f} ms",
    )
    outcome.expect(bool(refused), "nothing was refused: the queues have no end")
    slowest_s = percentile(refused, 99)
    outcome.expect(
        slowest_s <= scale.limit(REFUSED_WITHIN_S),
        f"refusals took up to {slowest_s:.1f} s (p99)",
    )
    end_ms = begun_ms + int(seconds * 1e3)
    half_ms = (begun_ms + end_ms) // 2
    first = sum(watch.typical_mb(begun_ms, half_ms).values())
    second = sum(watch.typical_mb(half_ms, end_ms).values())
    outcome.expect(
        second <= first * MEMORY_GROWTH, f"memory grew from {first:.0f} to {second:.0f} MB"
    )
    outcome.expect(normal_s is not None, "it did not get back to normal")
    if normal_s is not None:
        outcome.healed(normal_s)
        outcome.expect(normal_s <= scale.limit(NORMAL_S), f"normal only after {normal_s:.1f} s")
    outcome.notes.append(
        f"capacity {rate:.0f} calls/s with {in_flight} in flight, p99 {p99_s * 1e3:.0f} ms; "
        f"flooded with {len(calls) / seconds:.0f} calls/s: p99 of the accepted "
        f"{flooded_s * 1e3:.0f} ms ({len(answered) / seconds:.0f}/s), refusals took "
        f"{percentile(refused, 50) * 1e3:.0f} ms (p50), {slowest_s * 1e3:.0f} ms (p99)"
    )
    return outcome


def capacity(server: Server, seconds: float) -> tuple[float, float, int]:
    """Return the calls a second that a server answers, their p99 in seconds, and how many at once.

    Calls in flight are doubled as long as that brings more answers, and hardly any is refused.
    """
    best = (0.0, 0.0, 0)
    in_flight = MAX_BATCH
    while in_flight <= MOST_IN_FLIGHT:
        load = Load(server.url, threads=in_flight, retry=AT_ONCE, refusals=(ServerOverloaded,))
        with load:
            begun = time.monotonic()
            time.sleep(seconds)
            took_s = time.monotonic() - begun
            answered, refused = load.tally.answered, load.tally.refused
            rate = answered / took_s
            p99_s = percentile(load.tally.latencies_s, 99)
        if refused > MOST_REFUSED * answered or rate < best[0] * WORTH_IT:
            break
        best = (rate, p99_s, in_flight)
        in_flight *= 2
    return best


def _back_to_normal(server: Server, usual_s: float) -> float | None:
    """Seconds until the first of several calls in a row that are answered as fast as usual."""
    begun, since, in_a_row = time.monotonic(), 0.0, 0
    with Detector(server.url, NAME, retry=AT_ONCE, timeout_s=NORMAL_S) as detector:
        while time.monotonic() - begun < 6 * NORMAL_S:
            start = time.monotonic()
            if in_a_row == 0:
                since = start - begun
            try:
                detector.detect(SQUARES[0])
                in_a_row = in_a_row + 1 if time.monotonic() - start <= usual_s else 0
            except FramewireError:
                in_a_row = 0
            if in_a_row == NORMAL_CALLS:
                return since
    return None
