"""The sweep: one model under growing batches, concurrency and request rates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from builder.benchmark.curve import CurvePoint
from builder.benchmark.load import Load, Measurement

BATCHES = (1, 2, 4, 8, 16, 32)
CONCURRENCIES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
# Of the best throughput seen: below it, near it and where queues begin to grow.
RATE_SHARES = (0.25, 0.5, 0.75, 0.9)
SHM_CONCURRENCIES = (1, 16)

# Measures a load. The number is how many images a second to expect: it decides on the windows.
Measure = Callable[[Load, float], Measurement]


@dataclass(frozen=True)
class SweepPoint:
    """A load and what came of it."""

    load: Load
    measured: Measurement


@dataclass(frozen=True)
class Sweep:
    """What a sweep found, in the order it was measured.

    Attributes:
        batches: at concurrency 1.
        concurrencies: with one image in a request.
        rates: likewise, begun at fixed times.
        shared_memory: likewise, through the system's shared memory.
    """

    batches: tuple[SweepPoint, ...]
    concurrencies: tuple[SweepPoint, ...]
    rates: tuple[SweepPoint, ...]
    shared_memory: tuple[SweepPoint, ...]

    @property
    def points(self) -> tuple[SweepPoint, ...]:
        """All of them, once each: the first of the batches is the first of the concurrencies."""
        return (*self.batches, *self.concurrencies[1:], *self.rates, *self.shared_memory)


def run_sweep(
    model: str,
    measure: Measure,
    *,
    max_batch: int,
    max_concurrency: int = CONCURRENCIES[-1],
    rates: bool = True,
    shared_memory: bool = True,
) -> Sweep:
    """Measure a model under all loads of the sweep.

    Args:
        model: Triton's name of it.
        measure: measures one load.
        max_batch: the largest batch that the model takes; larger ones are left out.
        max_concurrency: likewise.
        rates: whether to send at fixed rates too.
        shared_memory: whether to send through shared memory too, which takes a server that shares
            this machine's.
    """

    def run(loads: Sequence[Load], expected: float) -> tuple[SweepPoint, ...]:
        points = []
        for load in loads:
            measured = measure(load, expected)
            expected = measured.images_per_s
            points.append(SweepPoint(load, measured))
        return tuple(points)

    sizes = [size for size in BATCHES if size <= max_batch]
    counts = [count for count in CONCURRENCIES if count <= max_concurrency]
    batches = run([Load(model, batch=size) for size in sizes], 0.0)
    first = batches[0].measured.images_per_s
    # One image at concurrency 1 has just been measured.
    rest = [Load(model, concurrency=count) for count in counts if count > 1]
    concurrencies = (batches[0], *run(rest, first))
    best = max(point.measured.images_per_s for point in concurrencies)
    at_rates = [
        Load(model, concurrency=None, rate=round(share * best, 1) or 0.1)
        for share in RATE_SHARES
        if rates
    ]
    shm = [
        Load(model, concurrency=count, shared_memory=True)
        for count in SHM_CONCURRENCIES
        if shared_memory and count <= max_concurrency
    ]
    return Sweep(batches, concurrencies, run(at_rates, best), run(shm, best))


def batch_curve(sweep: Sweep) -> tuple[CurvePoint, ...]:
    """Return throughput and 99th percentile against the batch size."""
    return tuple(_point(point, point.load.batch) for point in sweep.batches)


def concurrency_curve(sweep: Sweep) -> tuple[CurvePoint, ...]:
    """Return throughput and 99th percentile against the requests in flight."""
    return tuple(_point(point, point.load.concurrency or 0) for point in sweep.concurrencies)


def _point(point: SweepPoint, load: int) -> CurvePoint:
    return CurvePoint(load, point.measured.images_per_s, point.measured.p99_ms)
