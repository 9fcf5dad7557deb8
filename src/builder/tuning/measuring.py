"""Measuring choices of settings: each in a server of its own, under perf_analyzer."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from builder.benchmark.comparison import Measuring
from builder.benchmark.load import Load
from builder.benchmark.pipeline_sweep import window_of
from builder.benchmark.serving import MeasuredServer, measured_server, profile
from builder.pipelines.manifest import Manifest
from builder.tuning.confirmation import PRESENT, WINNER, Confirmation, Seen, confirm
from builder.tuning.parameters import Choice
from builder.tuning.retuning import stage_retuned
from builder.tuning.search import best_load
from builder.tuning.trial import Point, Trial


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where choices are measured.

    Attributes:
        measuring: with what.
        repository: that holds the pipeline.
        manifest: of the version that is tuned.
        models: Triton's names of the variants that count.
        data: what is sent; see :mod:`builder.benchmark.input_data`.
        folder: for repositories to serve.
        bound_ms: of the 99th percentile.
        most: requests in flight.
        int8: the version's network in int8, where that is tried.
    """

    measuring: Measuring
    repository: Path
    manifest: Manifest
    models: tuple[str, ...]
    data: Path
    folder: Path
    bound_ms: float
    most: int
    int8: Path | None = None

    def attempt(self, choice: Choice, best: Trial | None) -> Trial:
        """Measure a choice under growing loads, begun near the best load of the best trial."""
        self.measuring.progress(f"trial: {choice.words}")
        begins = {each.model: each.in_flight // 2 for each in best.variants} if best else {}
        with self._served(choice) as server:
            return Trial(
                choice,
                tuple(
                    best_load(
                        model,
                        partial(self._point, server, model),
                        self.bound_ms,
                        begin=max(1, begins.get(model, 1)),
                        most=self.most,
                    )
                    for model in self.models
                ),
            )

    def confirm(self, present: Trial, winner: Trial) -> Confirmation:
        """Measure two choices by turns, each under its own best load, in servers side by side."""
        with ExitStack() as stack:
            sides = {
                name: self._side(stack.enter_context(self._served(trial.choice)), name, trial)
                for name, trial in ((PRESENT, present), (WINNER, winner))
            }
            return confirm(sides[PRESENT], sides[WINNER], self.measuring.rounds, self.bound_ms)

    def _side(self, server: MeasuredServer, name: str, trial: Trial) -> Callable[[], Seen]:
        def seen() -> Seen:
            self.measuring.progress(f"confirmation: {name}, {trial.choice.words}")
            return {
                each.model: self._point(
                    server, each.model, each.in_flight, each.quickest.images_per_s
                )
                for each in trial.variants
            }

        return seen

    @contextmanager
    def _served(self, choice: Choice) -> Iterator[MeasuredServer]:
        folder = Path(tempfile.mkdtemp(dir=self.folder)) / "pipeline"
        with measured_server(
            stage_retuned(self.repository, self.manifest, choice, folder, self.int8)
        ) as server:
            yield server

    def _point(self, server: MeasuredServer, model: str, in_flight: int, expected: float) -> Point:
        load = Load(model, concurrency=in_flight)
        found = profile(
            self.measuring.analyzer,
            server,
            load,
            self.data,
            self.folder / f"{load.label}.csv",
            window_ms=window_of(load, expected, self.measuring.window_ms),
        )
        measured = found.measured
        return Point(
            in_flight, measured.images_per_s, measured.p50_ms, measured.p99_ms, found.server_cpu_ms
        )
