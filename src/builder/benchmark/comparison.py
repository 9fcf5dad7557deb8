"""What the matches of the comparison share: what they need, what they find, rounds by turns."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from builder.benchmark.input_data import write_image_data
from builder.benchmark.load import Load
from builder.benchmark.loops import Loops
from builder.benchmark.perf_analyzer import PerfAnalyzer
from builder.benchmark.sample import Sample, play
from builder.benchmark.serving import MeasuredServer, Profile, profile
from builder.benchmark.targets import Target
from builder.pipelines.manifest import Manifest

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Setup:
    """What a comparison needs.

    Attributes:
        analyzer: the load generator.
        repository: that holds the pipeline.
        manifest: of its active version.
        images: JPEG files.
        baselines: the folder ``benchmarks`` of a clone.
        out: where CSV files are kept.
        rounds: of each match.
        window_ms: of the load generator; it takes three.
        cores: to use.
        ultralytics: a Python that has it and the model to give it; None where there is none.
        progress: told what is being measured.
    """

    analyzer: PerfAnalyzer
    repository: Path
    manifest: Manifest
    images: Sequence[Path]
    baselines: Path
    out: Path
    rounds: int
    window_ms: int
    cores: int
    ultralytics: tuple[Path, Path] | None
    progress: Progress = field(default=print, repr=False)

    @property
    def loops(self) -> Loops:
        """The loops without a server, as long as the load generator's windows together."""
        return Loops(self.baselines / "loops", self.window_ms * 3 / 1e3, self.cores)


@dataclass(frozen=True)
class Match:
    """What one match found.

    Attributes:
        title: what was compared.
        rounds: the samples of each contestant, in the order of the rounds.
        profiles: of each contestant that is a server, its last round in detail.
        targets: what follows.
    """

    title: str
    rounds: Mapping[str, tuple[Sample, ...]]
    profiles: Mapping[str, Profile]
    targets: tuple[Target, ...]


class Servers:
    """Measures served contestants of one match and keeps the last profile of each."""

    def __init__(self, setup: Setup, match: str) -> None:
        self._setup = setup
        self._match = match
        self._measured: dict[str, int] = {}
        self.profiles: dict[str, Profile] = {}

    def served(
        self, title: str, server: MeasuredServer, model: str, data_file: Path, concurrency: int
    ) -> Callable[[], Sample]:
        """Return what measures one contestant."""
        return partial(
            self._measure, title, server, Load(model, concurrency=concurrency), data_file
        )

    def _measure(self, title: str, server: MeasuredServer, load: Load, data_file: Path) -> Sample:
        number = self._measured[title] = self._measured.get(title, 0) + 1
        slug = title.replace(", ", "_").replace(" ", "_")
        found = profile(
            self._setup.analyzer,
            server,
            load,
            data_file,
            self._setup.out / f"{self._match}_{slug}_round_{number}.csv",
            window_ms=self._setup.window_ms,
        )
        self.profiles[title] = found
        return Sample(found.measured.images_per_s, found.server_cpu_ms, found.measured.p50_ms)


def play_rounds(
    setup: Setup, title: str, contestants: Mapping[str, Callable[[], Sample]]
) -> dict[str, tuple[Sample, ...]]:
    """Measure all contestants in every round and return their samples in the rounds' order."""
    played: dict[str, list[Sample]] = {name: [] for name in contestants}
    for number, found in enumerate(play(contestants, setup.rounds), start=1):
        setup.progress(f"{title}: round {number} of {setup.rounds}")
        for name, sample in found.items():
            played[name].append(sample)
    return {name: tuple(samples) for name, samples in played.items()}


def working_folder(stack: ExitStack) -> Path:
    """Return a folder for repositories and images that is removed when the stack is left."""
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="framewire-bench-")))


def image_data(files: Sequence[Path], data_file: Path) -> Path:
    """Write what perf_analyzer is to send, in turn, and return its file."""
    write_image_data([file.read_bytes() for file in files], data_file)
    return data_file
