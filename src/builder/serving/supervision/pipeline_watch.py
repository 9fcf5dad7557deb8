"""Whether the pipelines of a running Triton answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from builder.errors import InvalidPipelineError
from builder.pipelines.config_files import read_config
from builder.pipelines.manifest import pipelines
from builder.pipelines.pipeline_models import (
    Streams,
    all_names,
    has_streams,
    models_in,
    public_models,
)
from builder.serving.local_triton import LocalTriton, Work
from builder.serving.supervision.fault import Fault
from builder.serving.supervision.process_watch import ProcessWatch
from builder.serving.supervision.public_model_watch import PublicModel, PublicModelWatch
from builder.serving.triton_metrics import TritonMetrics
from thin_client.contract import model_names

NOT_LOADED = "did not load (the server's log says why)"


class PipelinesWatch:
    """All pipelines of a repository that its Triton has loaded.

    Args:
        triton: that serves them.
        repository: that it serves.
        missing: names of pipelines that it has not loaded: nobody is to call them, and they are
            watched once all of their models are loaded.
        metrics: of the same Triton.
    """

    def __init__(
        self,
        triton: LocalTriton,
        repository: Path,
        missing: Iterable[str] = (),
        *,
        metrics: TritonMetrics,
    ) -> None:
        self._triton = triton
        self._metrics = metrics
        self._repository = repository
        self._loaded: dict[str, frozenset[int]] = {}
        self._watches: dict[str, dict[str, PublicModelWatch]] = {}
        self._missing = set(missing).intersection(all_names(repository))
        # The others of those that it was started with must have been loaded; what is built later
        # comes when it is.
        for name in pipelines(repository):
            if name not in self._missing:
                self._watch(name)

    def look(self, now: float, work: Mapping[str, Work], processes: ProcessWatch) -> Fault | None:
        """Send canaries where they are due, and say what is wrong, if anything.

        Args:
            now: on the monotonic clock.
            work: what all models have done, as Triton told it just now.
            processes: of the same moment.
        """
        # The files of what was unloaded, or never loaded, may go later.
        changed = self._loaded != (loaded := {name: each.versions for name, each in work.items()})
        if changed or self._missing or not loaded.keys() >= self._watches.keys():
            self._loaded = loaded
            self._take_up()
        faults = []
        for watches in self._watches.values():
            # Each canary costs a run of the network that they share, so they go round; only those
            # that are not ready, as all are at the start, are asked at once.
            turn = min(watches.values(), key=lambda watch: watch.idle_since)
            due = now - max(each.sent_at for each in watches.values()) >= turn.every_s
            for watch in list(watches.values()):
                mine = watch.why is not None or (due and watch is turn)
                faults.append(watch.look(now, work, processes, may_send=mine))
        return next((fault for fault in faults if fault), None)

    def forgive(self, now: float) -> None:
        """Begin all waiting anew: we were not running ourselves."""
        for watch in self._each():
            watch.forgive(now)

    def states(self) -> dict[str, str | None]:
        """Return, for each pipeline, why it is not ready, or None where it is."""
        missing = {name: f"{name} {NOT_LOADED}" for name in sorted(self._missing)}
        return {**missing, **self.loaded_states()}

    def loaded_states(self) -> dict[str, str | None]:
        """Return the same of those that were loaded."""
        return {
            name: next(
                (f"{watch.model} {watch.why}" for watch in watches.values() if watch.why), None
            )
            for name, watches in self._watches.items()
        }

    @property
    def later_steps(self) -> frozenset[str]:
        """Names of the models that requests come to after the first step."""
        return frozenset(step for watch in self._each() for step in watch.later_steps)

    def beginning(self, processes: ProcessWatch, ticks: Mapping[int, int], s: float) -> bool:
        """Return whether what works for a pipeline that is not ready computes; as ``computing``."""
        return any(
            processes.computing(watch.steps, ticks, s) for watch in self._each() if watch.why
        )

    def _take_up(self) -> None:
        there = pipelines(self._repository)
        for name in there:
            if name in self._missing:
                if self._loaded.keys() >= set(models_in(self._repository, name)):
                    self._missing.remove(name)
                    self._watch(name)
            elif name in self._loaded:
                self._watch(name)
        for name in set(self._watches) - set(there) - self._loaded.keys():
            del self._watches[name]
        self._missing.intersection_update(all_names(self._repository))

    def _watch(self, name: str) -> None:
        streams = has_streams(self._repository, name)
        names = model_names(name)
        steps = {
            names.ensemble: (names.preprocess, names.network, names.postprocess),
            names.bls: (names.bls, names.network),
            names.stream: (names.decode, names.detect, names.network)
            if streams == Streams.DETECT
            else (names.decode, names.network, names.postprocess),
        }
        network = _network_facts(self._repository, name)
        watches = self._watches.setdefault(name, {})
        for model in public_models(name, streams=streams):
            public = PublicModel(model, steps[model], stream=model == names.stream, **network)
            if model not in watches:
                watches[model] = PublicModelWatch(self._triton, public, self._metrics)
            elif network:
                # Another version may have another runtime, and take other batches.
                watches[model].public = public

    def _each(self) -> list[PublicModelWatch]:
        return [watch for watches in self._watches.values() for watch in watches.values()]


def _network_facts(repository: Path, name: str) -> dict[str, Any]:
    """Return what a pipeline's files say of its network, by the names of PublicModel."""
    try:
        config = read_config(repository / model_names(name).network)
    except InvalidPipelineError:
        return {}  # gone, or being replaced: what is served is watched all the same
    accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
    return {
        "largest_batch": max(1, config.max_batch_size),
        "network_in_triton": config.backend != "python",
        "compiles": any(each.name == "tensorrt" for each in accelerators),
    }
