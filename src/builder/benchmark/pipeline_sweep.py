"""The sweep of one pipeline on one server, with everything that was measured along the way."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.benchmark.comparison import Setup
from builder.benchmark.curve import CurvePoint, knee, sweet_spot
from builder.benchmark.input_data import write_image_data
from builder.benchmark.load import Load, Measurement
from builder.benchmark.repositories import link_pipeline
from builder.benchmark.serving import MeasuredServer, Profile, measured_server, profile
from builder.benchmark.sweep import Sweep, batch_curve, concurrency_curve, run_sweep

# A window is to see this many rounds of everything in flight.
ROUNDS_IN_WINDOW = 2.0


@dataclass(frozen=True)
class PipelineSweep:
    """What a sweep found.

    Attributes:
        model: Triton's name of what was measured.
        sweep: the points.
        profiles: of each point, in its order: what the models did and what it cost.
        latency_bound_ms: for the sweet spots, at the 99th percentile.
    """

    model: str
    sweep: Sweep
    profiles: tuple[Profile, ...]
    latency_bound_ms: float

    @property
    def curves(self) -> dict[str, tuple[CurvePoint, ...]]:
        """The curves that have a sweet spot and a knee, by what grows."""
        return {
            "batch size": batch_curve(self.sweep),
            "requests in flight": concurrency_curve(self.sweep),
        }

    @property
    def sentences(self) -> tuple[str, ...]:
        """Sweet spots and knees in words."""
        return tuple(
            sentence
            for what, curve in self.curves.items()
            for sentence in _sentences(what, curve, self.latency_bound_ms)
        )


def sweep_pipeline(
    setup: Setup, model: str, *, latency_bound_ms: float, max_concurrency: int
) -> PipelineSweep:
    """Serve the pipeline and put one of its public models under all loads of the sweep.

    Raises:
        BuilderError: the server or the load generator failed.
    """
    profiles: list[Profile] = []
    with tempfile.TemporaryDirectory(prefix="framewire-bench-") as folder:
        data = Path(folder) / "images.json"
        write_image_data([file.read_bytes() for file in setup.images], data)
        served = link_pipeline(setup.repository, setup.manifest.name, Path(folder) / "pipeline")
        with measured_server(served) as server:

            def measure(load: Load, expected: float) -> Measurement:
                setup.progress(f"sweep: {load.label.replace('_', ' ')}")
                profiles.append(_profile(setup, server, load, data, expected))
                return profiles[-1].measured

            sweep = run_sweep(
                model,
                measure,
                max_batch=setup.manifest.max_batch,
                max_concurrency=max_concurrency,
            )
    return PipelineSweep(model, sweep, tuple(profiles), latency_bound_ms)


def _profile(
    setup: Setup, server: MeasuredServer, load: Load, data: Path, expected: float
) -> Profile:
    in_flight = load.batch * (load.concurrency or 1)
    needed_ms = ROUNDS_IN_WINDOW * in_flight / expected * 1e3 if expected else 0.0
    window_ms = max(setup.window_ms, round(needed_ms))
    csv_file = setup.out / f"{load.label}.csv"
    return profile(setup.analyzer, server, load, data, csv_file, window_ms=window_ms)


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
