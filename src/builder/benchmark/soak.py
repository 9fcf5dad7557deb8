"""The soak: full load for many minutes, with an eye on the memory of every process."""

from __future__ import annotations

import csv
import enum
import itertools
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from builder.benchmark.comparison import Progress, Setup, image_data, working_folder
from builder.benchmark.frames import resized_jpegs
from builder.benchmark.load import Load
from builder.benchmark.long_load import long_load
from builder.benchmark.memory import Growth, MemorySample, growth, memory_mb
from builder.benchmark.perf_analyzer import Target
from builder.benchmark.repositories import link_pipeline, stub_pipeline
from builder.benchmark.server_work import Statistics, server_statistics, work_between
from builder.benchmark.serving import MeasuredServer, measured_server
from builder.errors import BenchmarkError
from builder.serving.model_processes import stubs
from thin_client.contract import model_names

# What cameras send, from VGA to 4K; frames of one size would leave the allocator nothing to do.
SIZES = ((640, 480), (1280, 720), (1920, 1080), (3840, 2160))
# Twice as many as there are cores keep them busy; never fewer than in the matches.
FEWEST_IN_FLIGHT, IN_FLIGHT_PER_CORE = 8, 2
SAMPLES_WANTED, SHORTEST_PERIOD_S, LONGEST_PERIOD_S = 100, 1.0, 5.0
TOLD_EVERY_S = 60
# In less there are not the samples for a line.
SHORTEST_MIN = 0.1


class SoakNetwork(str, enum.Enum):
    """What runs as the network."""

    STUB = "stub"
    """One that answers at once: the most images through all the rest."""
    OWN = "own"
    """The pipeline's: far fewer images, and its own runtime's memory."""


@dataclass(frozen=True)
class Soak:
    """What a soak found.

    Attributes:
        title: what was done.
        samples: from the load's first second to its last.
        images_per_s: of each public model, over the whole time.
    """

    title: str
    samples: tuple[MemorySample, ...]
    images_per_s: dict[str, float]

    @property
    def growth(self) -> tuple[Growth, ...]:
        """What became of the memory of every process."""
        return growth(self.samples)


def soak(setup: Setup, minutes: float, network: SoakNetwork) -> Soak:
    """Keep both public models of a pipeline under full load at once, on one server.

    Both at once, so that every process of the server works all the time.

    Raises:
        BuilderError: the server or the load generator failed, or a process of the server ended.
    """
    names = model_names(setup.manifest.name)
    with ExitStack() as stack:
        folder = working_folder(stack)
        data = image_data(varied_frames(setup.images, folder / "frames"), folder / "frames.json")
        server = stack.enter_context(measured_server(_repository(setup, network, folder)))
        # It asks for metrics before its first request, and a server that busy may not answer.
        target = Target(server.target.grpc_url, metrics_url=None)
        in_flight = max(FEWEST_IN_FLIGHT, IN_FLIGHT_PER_CORE * setup.cores)
        watch = Watch(server, (names.ensemble, names.bls), setup.progress)
        loads = [
            stack.enter_context(
                long_load(
                    setup.analyzer,
                    target,
                    Load(model, concurrency=in_flight),
                    data,
                    setup.out / f"soak_{model}.csv",
                    seconds=minutes * 60,
                )
            )
            for model in (names.ensemble, names.bls)
        ]
        period_s = min(max(minutes * 60 / SAMPLES_WANTED, SHORTEST_PERIOD_S), LONGEST_PERIOD_S)
        samples: list[MemorySample] = []
        # When one has ended, the load is no longer full.
        while not any(load.ended for load in loads):
            samples.append(watch.look())
            write_samples(samples[-1:], setup.out / "soak_memory.csv", new=len(samples) == 1)
            time.sleep(period_s)
        for load in loads:
            load.result()
    last = samples[-1]
    return Soak(
        f"Soak: both variants at once, {in_flight} in flight each, {network.value} network, "
        f"JPEGs of 640x480 to 3840x2160, {last.seconds / 60:.1f} minutes",
        tuple(samples),
        {model: images / last.seconds for model, images in last.images.items()},
    )


def write_samples(samples: Sequence[MemorySample], csv_file: Path, *, new: bool = True) -> None:
    """Write samples, a row each, into a new file or below what a file has."""
    with csv_file.open("w" if new else "a", newline="") as lines:
        writer = csv.writer(lines)
        if new:
            images = (f"{model} images" for model in samples[0].images)
            memory = (f"{process} MB" for process in samples[0].memory_mb)
            writer.writerow(["seconds", *images, *memory])
        for each in samples:
            memory_cells = (f"{value:.1f}" for value in each.memory_mb.values())
            writer.writerow([f"{each.seconds:.1f}", *each.images.values(), *memory_cells])


class Watch:
    """Looks at a server under load.

    Args:
        server: it.
        models: that have the load.
        progress: told every minute.
    """

    def __init__(self, server: MeasuredServer, models: Sequence[str], progress: Progress) -> None:
        assert server.pid is not None  # noqa: S101 - a server of our own
        self._pid = server.pid
        self._url = server.target.grpc_url
        self._models = models
        self._progress = progress
        self._processes = stubs(self._pid)
        self._before = self._statistics()
        self._begun = self._told = time.monotonic()

    def look(self) -> MemorySample:
        """Return how things are now.

        Raises:
            BenchmarkError: a process has ended, or requests failed.
        """
        gone = self._processes.keys() - stubs(self._pid).keys()
        if ended := sorted({self._processes[pid].model for pid in gone}):
            raise BenchmarkError(
                f"the process of {', '.join(ended)} ended under full load: see the server's log"
            )
        memory = memory_mb(self._pid)
        seconds = time.monotonic() - self._begun
        work = [
            each
            for each in work_between(self._before, self._statistics())
            if each.model in self._models
        ]
        if failures := sum(each.failures for each in work):
            raise BenchmarkError(
                f"{failures} requests failed under full load: send one with `framewire-client "
                "image` to see why"
            )
        if time.monotonic() - self._told >= TOLD_EVERY_S:
            self._told = time.monotonic()
            self._progress(
                f"soak: {seconds / 60:.0f} minutes, {sum(memory.values()):.0f} MB in all processes"
            )
        return MemorySample(seconds, {each.model: each.images for each in work}, memory)

    def _statistics(self) -> Statistics:
        return server_statistics(self._url)


def _repository(setup: Setup, network: SoakNetwork, folder: Path) -> Path:
    if network is SoakNetwork.OWN:
        return link_pipeline(setup.repository, setup.manifest.name, folder / "pipeline")
    return stub_pipeline(setup.repository, setup.manifest, setup.baselines, folder / "pipeline")


def varied_frames(images: Sequence[Path], folder: Path) -> list[Path]:
    """Return every image in one of the sizes and every size, neighbours differing in size."""
    chosen = list(itertools.islice(itertools.cycle(images), max(len(images), len(SIZES))))
    count = len(SIZES)
    by_size = [
        resized_jpegs(chosen[number::count], width, height, folder / f"{width}x{height}")
        for number, (width, height) in enumerate(SIZES)
    ]
    return [by_size[number % count][number // count] for number in range(len(chosen))]
