"""What a stream counts, of which a program may never ask."""

from __future__ import annotations

from collections import deque

import pytest

from thin_client.streaming.meter import WINDOW_S, Counts, Meter

FPS = 25


def run(meter: Meter, seconds: int) -> float:
    """Let so many seconds go by; return when it is."""
    now = 0.0
    for number in range(seconds * FPS):
        now = number / FPS
        meter.sent(now, 1000)
        meter.answered(now, 0.04)
    return now


def remembered(meter: Meter) -> int:
    queues = [value for value in vars(meter).values() if isinstance(value, deque)]
    return sum(len(queue) for queue in queues if queue.maxlen is None)


def test_a_meter_that_nobody_reads_does_not_grow() -> None:
    meter = Meter()
    run(meter, 600)
    # What left and what came, of the last seconds.
    assert 0 < remembered(meter) <= 2 * (FPS * WINDOW_S + 1)


@pytest.mark.parametrize("later_s", [0.0, 2.0])
def test_the_last_seconds_are_what_left_and_came_in_them(later_s: float) -> None:
    meter = Meter()
    now = run(meter, 20)
    found = meter.recent(now + later_s, Counts(sent=500))
    assert found.frames_per_s == pytest.approx(FPS * (WINDOW_S - later_s) / WINDOW_S, rel=0.02)
    assert found.bytes_per_s == pytest.approx(1000 * found.frames_per_s)
    assert (found.frames, found.bytes, found.latency_p50_ms) == (500, 500_000, pytest.approx(40))
    assert meter.whole(Counts(sent=500)).frames_per_s == pytest.approx(FPS, rel=0.02)
