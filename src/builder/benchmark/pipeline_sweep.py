"""The sweep of one pipeline on one server, with everything that was measured along the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.benchmark.comparison import Measuring
from builder.benchmark.curve import CurvePoint, knee, sweet_spot
from builder.benchmark.load import Load, Measurement
from builder.benchmark.serving import MeasuredServer, Profile, profile
from builder.benchmark.sweep import Sweep, batch_curve, concurrency_curve, run_sweep

# A window is to see this many rounds of everything in flight.
ROUNDS_IN_WINDOW = 2.0


@dataclass(frozen=True)
class PipelineSweep:
    """What a sweep found.

    Attributes:
        title: what was measured, Triton's name of it first.
        sweep: the points.
        profiles: of each point, in its order: what the models did and what it cost.
        latency_bound_ms: for the sweet spots, at the 99th percentile.
    """

    title: str
    sweep: Sweep
    profiles: tuple[Profile, ...]
    latency_bound_ms: float

    @property
    def curves(self) -> dict[str, tuple[CurvePoint, ...]]:
        """The curves that have a sweet spot and a knee, by what grows."""
        batches = {"batch size": batch_curve(self.sweep)} if len(self.sweep.batches) > 1 else {}
        return {**batches, "requests in flight": concurrency_curve(self.sweep)}

    @property
    def sentences(self) -> tuple[str, ...]:
        """Sweet spots and knees in words."""
        return tuple(
            sentence
            for what, curve in self.curves.items()
            for sentence in _sentences(what, curve, self.latency_bound_ms)
        )


def sweep_pipeline(
    measuring: Measuring,
    server: MeasuredServer,
    model: str,
    data: Path,
    *,
    title: str,
    max_batch: int,
    latency_bound_ms: float,
    max_concurrency: int,
    only_concurrency: bool = False,
) -> PipelineSweep:
    """Put a public model of a pipeline under all loads of the sweep.

    Args:
        measuring: what it takes.
        server: that has the pipeline.
        model: Triton's name of the variant.
        data: what is sent; see :mod:`builder.benchmark.input_data`.
        title: of the sweep.
        max_batch: the largest batch that the model takes.
        latency_bound_ms: for the sweet spots.
        max_concurrency: larger ones are left out.
        only_concurrency: whether rates and shared memory are left out. Shared memory is left out
            too where the server's process is not to be seen.

    Raises:
        BuilderError: the server or the load generator failed.
    """
    profiles: list[Profile] = []

    def measure(load: Load, expected: float) -> Measurement:
        measuring.progress(f"sweep of {title}: {load.label.replace('_', ' ')}")
        csv_file = measuring.out / f"{'gpu_' if only_concurrency else ''}{load.label}.csv"
        profiles.append(
            profile(
                measuring.analyzer,
                server,
                load,
                data,
                csv_file,
                window_ms=window_of(load, expected, measuring.window_ms),
            )
        )
        return profiles[-1].measured

    sweep = run_sweep(
        model,
        measure,
        max_batch=max_batch,
        max_concurrency=max_concurrency,
        rates=not only_concurrency,
        shared_memory=not only_concurrency and server.pid is not None,
    )
    return PipelineSweep(title, sweep, tuple(profiles), latency_bound_ms)


def window_of(load: Load, expected: float, window_ms: int) -> int:
    """Return the length of a window for a load: ``window_ms``, or what the slow need.

    Args:
        load: to measure.
        expected: images a second; 0 if nobody knows.
        window_ms: the least.
    """
    in_flight = load.batch * (load.concurrency or 1)
    needed_ms = ROUNDS_IN_WINDOW * in_flight / expected * 1e3 if expected else 0.0
    return max(window_ms, round(needed_ms))


def _sentences(what: str, curve: Sequence[CurvePoint], bound_ms: float) -> tuple[str, str]:
    sweet, bend = sweet_spot(curve, bound_ms), knee(curve)
    return (
        f"sweet spot, {what}: "
        + (
            f"{_words(sweet)}, within {bound_ms:g} ms"
            if sweet
            else f"none keeps p99 within {bound_ms:g} ms"
        ),
        f"knee, {what}: " + (_words(bend) if bend else "none, the curve is flat or still grows"),
    )


def _words(point: CurvePoint) -> str:
    return f"{point.load} ({point.images_per_s:.1f} images/s, p99 {point.latency_ms:.1f} ms)"
