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
from builder.benchmark.targets import Advantage, Target
from builder.pipelines.manifest import Manifest

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """What every measurement needs.

    Attributes:
        analyzer: the load generator.
        images: JPEG files.
        out: where CSV files are kept.
        rounds: of each match.
        window_ms: of the load generator; it takes three.
        progress: told what is being measured.
    """

    analyzer: PerfAnalyzer
    images: Sequence[Path]
    out: Path
    rounds: int
    window_ms: int
    progress: Progress = field(default=print, repr=False)


@dataclass(frozen=True)
class Ultralytics:
    """Another environment, with the detector's own tool.

    Attributes:
        python: that has it.
        models: files of the detector that it can run; the fastest counts.
    """

    python: Path
    models: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class Setup(Measuring):
    """What a comparison needs besides.

    Attributes:
        repository: that holds the pipeline.
        manifest: of its active version.
        baselines: the folder ``benchmarks`` of a clone.
        cores: to use.
        ultralytics: where it is and what it is given; None where there is none.
        labelled: images whose labels lie where ultralytics finds them; may be none.
    """

    repository: Path
    manifest: Manifest
    baselines: Path
    cores: int
    ultralytics: Ultralytics | None
    labelled: Sequence[str] = ()

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
        besides: the same of exact decoding, where the targets are of scaled decoding.
        advantages: of ours over each of the others, where that is what the match is for.
        remarks: what else is to be known of the contestants.
    """

    title: str
    rounds: Mapping[str, tuple[Sample, ...]]
    profiles: Mapping[str, Profile]
    targets: tuple[Target, ...]
    besides: tuple[Target, ...] = ()
    advantages: tuple[Advantage, ...] = ()
    remarks: tuple[str, ...] = ()


class Servers:
    """Measures served contestants of one match and keeps the last profile of each."""

    def __init__(self, measuring: Measuring, match: str) -> None:
        self._measuring = measuring
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
            self._measuring.analyzer,
            server,
            load,
            data_file,
            self._measuring.out / f"{self._match}_{slug}_round_{number}.csv",
            window_ms=self._measuring.window_ms,
        )
        self.profiles[title] = found
        return Sample(found.measured.images_per_s, found.server_cpu_ms, found.measured.p50_ms)


def play_rounds(
    measuring: Measuring, title: str, contestants: Mapping[str, Callable[[], Sample]]
) -> dict[str, tuple[Sample, ...]]:
    """Measure all contestants in every round and return their samples in the rounds' order."""
    played: dict[str, list[Sample]] = {name: [] for name in contestants}
    for number, found in enumerate(play(contestants, measuring.rounds), start=1):
        measuring.progress(f"{title}: round {number} of {measuring.rounds}")
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
