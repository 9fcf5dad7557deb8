"""1080p JPEGs to boxes with the network on a GPU: the loads, then the best one in rounds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from builder.benchmark import targets as t
from builder.benchmark.comparison import (
    Match,
    Measuring,
    Servers,
    image_data,
    play_rounds,
    working_folder,
)
from builder.benchmark.frames import resized_jpegs
from builder.benchmark.gpu import GpuSample, watching_gpus
from builder.benchmark.load import Load
from builder.benchmark.pipeline_sweep import PipelineSweep, sweep_pipeline
from builder.benchmark.sample import Rounds, Sample
from builder.benchmark.serving import MeasuredServer, Profile, profile
from thin_client.contract import model_names

# Of performance.md's target 6.
SIZE = (1920, 1080)
# Of the images a second that the better variant answers: cameras do not wait for answers.
SHARES_OF_CAPACITY = (0.3, 0.7)


@dataclass(frozen=True)
class PartLoad:
    """A server that is asked less than it can answer, at a steady rate.

    Attributes:
        variant: that was asked.
        share: of its capacity.
        found: images a second, latencies, CPU time.
        gpus: seen meanwhile.
    """

    variant: str
    share: float
    found: Profile
    gpus: tuple[GpuSample, ...]


@dataclass(frozen=True)
class GpuRun:
    """What was found.

    Attributes:
        sweeps: of both variants, by requests in flight.
        match: the best load of each, in rounds.
        gpus: seen during the rounds.
        part_loads: of the better variant.
    """

    sweeps: tuple[PipelineSweep, ...]
    match: Match
    gpus: tuple[GpuSample, ...]
    part_loads: tuple[PartLoad, ...]


def gpu_match(
    measuring: Measuring,
    server: MeasuredServer,
    name: str,
    *,
    latency_bound_ms: float,
    max_concurrency: int,
) -> GpuRun:
    """Measure a pipeline whose network runs on a GPU of this machine.

    Args:
        measuring: the images are brought to 1920x1080.
        server: that has the pipeline.
        name: of the pipeline.
        latency_bound_ms: for the sweet spots of the sweep.
        max_concurrency: of the sweep.

    Raises:
        BuilderError: the server or the load generator failed.
    """
    names = model_names(name)
    models = {t.ENSEMBLE: names.ensemble, t.BLS: names.bls}
    width, height = SIZE
    with ExitStack() as stack:
        folder = working_folder(stack)
        frames = resized_jpegs(measuring.images, width, height, folder / "frames")
        data = image_data(frames, folder / "frames.json")
        sweeps = {
            title: sweep_pipeline(
                measuring,
                server,
                model,
                data,
                title=f"{model}, {width}x{height} JPEGs, network on the GPU",
                only_concurrency=True,
                max_batch=1,
                latency_bound_ms=latency_bound_ms,
                max_concurrency=max_concurrency,
            )
            for title, model in models.items()
        }
        in_flight = {title: _best_concurrency(swept) for title, swept in sweeps.items()}
        servers = Servers(measuring, "gpu")
        contestants: dict[str, Callable[[], Sample]] = {
            title: servers.served(title, server, model, data, in_flight[title])
            for title, model in models.items()
        }
        with watching_gpus(measuring.out / "gpu.csv") as watch:
            rounds = play_rounds(measuring, "network on the GPU", contestants)
        part_loads = tuple(_part_loads(measuring, server, models, rounds, data))
    loads = ", ".join(f"{title} with {count} in flight" for title, count in in_flight.items())
    match = Match(
        f"Network on the GPU, {width}x{height} JPEGs, {loads}",
        rounds,
        servers.profiles,
        (t.gpu_target(rounds),),
    )
    return GpuRun(tuple(sweeps.values()), match, watch.samples, part_loads)


def _part_loads(
    measuring: Measuring,
    server: MeasuredServer,
    models: Mapping[str, str],
    rounds: Rounds,
    data: Path,
) -> Iterator[PartLoad]:
    variant = t.fastest(rounds, *models)
    capacity = statistics.median(sample.images_per_s for sample in rounds[variant])
    for share in SHARES_OF_CAPACITY:
        load = Load(models[variant], concurrency=None, rate=round(share * capacity, 1))
        measuring.progress(f"network on the GPU: {load.rate:g} images/s")
        name = f"gpu_{load.label}"
        with watching_gpus(measuring.out / f"{name}_gpu.csv") as watch:
            found = profile(
                measuring.analyzer,
                server,
                load,
                data,
                measuring.out / f"{name}.csv",
                window_ms=measuring.window_ms,
            )
        yield PartLoad(variant, share, found, watch.samples)


def _best_concurrency(swept: PipelineSweep) -> int:
    best = max(swept.sweep.concurrencies, key=lambda point: point.measured.images_per_s)
    return best.load.concurrency or 1
