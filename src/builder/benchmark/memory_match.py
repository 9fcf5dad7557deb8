"""The match of memory: the demo server of this build and of an earlier one, idle and loaded."""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from builder.benchmark.comparison import Match, Setup, image_data, working_folder
from builder.benchmark.earlier_build import COMMIT, unpack_earlier_build
from builder.benchmark.frames import resized_jpegs
from builder.benchmark.load import Load
from builder.benchmark.long_load import long_load
from builder.benchmark.memory_targets import (
    EARLIER,
    TODAY,
    ServerMemory,
    memory_lines,
    memory_targets,
)
from builder.benchmark.perf_analyzer import Target
from builder.benchmark.processes import cpu_seconds
from builder.benchmark.proportional_memory import proportional_memory_mb, triton_of
from builder.benchmark.sample import Sample, play
from builder.benchmark.served_tree import ServedTree, served_tree
from builder.benchmark.server_work import server_statistics, work_between
from builder.errors import BenchmarkError, RepositoryError
from builder.pipelines.manifest import read_manifest
from builder.pipelines.pipeline_models import models_in
from thin_client.contract import model_names

SIZE = (1920, 1080)
# Both variants at once, so that every process that decodes has work: on two cores, eight in all.
IN_FLIGHT_PER_CORE = 2
# Until a server that nobody calls has sent its first canaries and does nothing else.
IDLE_S = 10.0
LOAD_S = 30.0
# Of the load; before, buffers grow and networks are compiled.
SETTLED_SHARE = 0.6
LOOKS_EVERY_S = 1.0


def memory_match(setup: Setup) -> Match:
    """Compare the memory of the demo server with that of an earlier build's own.

    Each is served by its own code, as users serve it, one after the other: at once they would share
    pages of libraries. Where there is no history to take the earlier build from, or the pipeline
    is of another detector, nothing is measured.
    """
    name = setup.manifest.name
    in_flight = IN_FLIGHT_PER_CORE * setup.cores
    title = (
        f"Memory of the whole server, {SIZE[0]}x{SIZE[1]} JPEGs, both variants at once, "
        f"{in_flight} in flight each"
    )
    with ExitStack() as stack:
        folder = working_folder(stack)
        tree = folder / "earlier"
        try:
            unpack_earlier_build(setup.baselines, tree)
            _check_same_detector(setup, tree / "model_repository")
        except BenchmarkError as error:
            return Match(title, {}, {}, memory_targets((), (), str(error)))
        frames = resized_jpegs(setup.images, *SIZE, folder / "frames")
        data = image_data(frames, folder / "frames.json")
        own = folder / "own"
        # `framewire serve` follows no links out of a repository.
        for model in models_in(setup.repository, name):
            shutil.copytree(setup.repository / model, own / model)
        contestants = {
            TODAY: partial(_measure, setup, None, own, data, in_flight),
            EARLIER: partial(_measure, setup, tree, tree / "model_repository", data, in_flight),
        }
        memory: dict[str, list[ServerMemory]] = {each: [] for each in contestants}
        samples: dict[str, list[Sample]] = {each: [] for each in contestants}
        for number, found in enumerate(play(contestants, setup.rounds), start=1):
            setup.progress(f"memory: round {number} of {setup.rounds}")
            for each, (taken, sample) in found.items():
                memory[each].append(taken)
                samples[each].append(sample)
    return Match(
        title,
        {each: tuple(taken) for each, taken in samples.items()},
        {},
        memory_targets(memory[TODAY], memory[EARLIER]),
        remarks=memory_lines(memory[TODAY][-1], memory[EARLIER][-1]),
    )


def _check_same_detector(setup: Setup, repository: Path) -> None:
    manifest = setup.manifest
    try:
        same = read_manifest(repository, manifest.name).source_sha256 == manifest.source_sha256
    except RepositoryError:
        same = False
    if not same:
        raise BenchmarkError(
            f"commit {COMMIT} has no pipeline {manifest.name} of this detector, only the demo's"
        )


def _measure(
    setup: Setup, tree: Path | None, repository: Path, data: Path, in_flight: int
) -> tuple[ServerMemory, Sample]:
    """Serve, look at the memory, put the load on, look again."""
    label = "earlier" if tree else "today"
    with served_tree(tree, repository, setup.out / f"memory_{label}.log") as server:
        time.sleep(IDLE_S)
        idle = proportional_memory_mb(server.pid)
        loaded, sample = _load(setup, server, data, in_flight, label)
    return ServerMemory(idle, loaded), sample


def _load(
    setup: Setup, server: ServedTree, data: Path, in_flight: int, label: str
) -> tuple[dict[str, float], Sample]:
    names = model_names(setup.manifest.name)
    models = (names.ensemble, names.bls)
    looks: list[dict[str, float]] = []
    # As for a soak: a server that busy may not answer for its metrics in time.
    target = Target(server.target.grpc_url, metrics_url=None)
    triton_pid = triton_of(server.pid)
    before, cpu_s = server_statistics(target.grpc_url), _cpu_seconds(triton_pid)
    begun = time.monotonic()
    with ExitStack() as stack:
        loads = [
            stack.enter_context(
                long_load(
                    setup.analyzer,
                    target,
                    Load(model, concurrency=in_flight),
                    data,
                    setup.out / f"memory_{label}_{model}.csv",
                    seconds=LOAD_S,
                )
            )
            for model in models
        ]
        # When one has ended, the load is no longer full.
        while not any(load.ended for load in loads):
            time.sleep(LOOKS_EVERY_S)
            if time.monotonic() - begun >= SETTLED_SHARE * LOAD_S and not loads[0].ended:
                looks.append(proportional_memory_mb(server.pid))
        measured = [load.result() for load in loads]
    images = sum(
        each.images
        for each in work_between(before, server_statistics(target.grpc_url))
        if each.model in models
    )
    if not looks or not images:
        raise BenchmarkError("the load ended before the memory was looked at: see the server's log")
    spent_ms = (_cpu_seconds(triton_pid) - cpu_s) * 1e3
    means = {name: sum(look[name] for look in looks) / len(looks) for name in looks[0]}
    return means, Sample(
        sum(each.images_per_s for each in measured),
        spent_ms / images,
        sum(each.p50_ms for each in measured) / len(measured),
    )


def _cpu_seconds(triton_pid: int) -> float:
    return sum(cpu_seconds(triton_pid).values())
