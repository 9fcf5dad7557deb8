"""The comparison: contestants measured by turns, in three matches."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from builder.benchmark import targets as t
from builder.benchmark.frames import resized_jpegs
from builder.benchmark.input_data import write_image_data, write_tensor_data
from builder.benchmark.load import Load
from builder.benchmark.loops import Loops
from builder.benchmark.perf_analyzer import PerfAnalyzer
from builder.benchmark.repositories import (
    USUAL,
    link_pipeline,
    stub_pipeline,
    usual_recipe,
)
from builder.benchmark.sample import Sample, play
from builder.benchmark.serving import MeasuredServer, Profile, measured_server, profile
from builder.benchmark.wire import image_request_bytes, tensor_request_bytes
from builder.pipelines.manifest import Manifest
from thin_client.contract import model_names

# Of performance.md's targets.
STUB_CONCURRENCY, STUB_SIZE = 8, (1920, 1080)
BATCHING_CONCURRENCY, BATCHING_SIZE, BATCHING_DELAY_MS = 32, (640, 480), 10
USUAL_SIDE = 640

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
    targets: tuple[t.Target, ...]


def stub_match(setup: Setup) -> Match:
    """Compare what surrounds the network: 1080p JPEGs, and a network that answers at once."""
    names = model_names(setup.manifest.name)
    with ExitStack() as stack:
        folder = _folder(stack)
        frames = resized_jpegs(setup.images, *STUB_SIZE, folder / "frames")
        data = _image_data(frames, folder / "frames.json")
        tensors = folder / "tensors.json"
        zeros = np.zeros((3, USUAL_SIDE, USUAL_SIDE), np.float32)
        write_tensor_data([zeros.tobytes()], zeros.shape, tensors, name="images")
        ours = stack.enter_context(
            measured_server(
                stub_pipeline(
                    setup.repository, setup.manifest, setup.baselines, folder / "pipeline"
                )
            )
        )
        usual = stack.enter_context(
            measured_server(usual_recipe(setup.baselines, folder / "usual"), tuned=False)
        )
        match = _Servers(setup, "stub")
        version = setup.repository / names.preprocess / str(setup.manifest.version)
        decode = partial(setup.loops.decode_limit, version.resolve(), folder / "frames")
        busy, alone = STUB_CONCURRENCY, 1
        contestants: dict[str, Callable[[], Sample]] = {
            t.ENSEMBLE: match.served(t.ENSEMBLE, ours, names.ensemble, data, busy),
            t.BLS: match.served(t.BLS, ours, names.bls, data, busy),
            t.USUAL: match.served(t.USUAL, usual, USUAL, data, busy),
            t.CLIENT_SIDE: partial(
                setup.loops.client_side,
                usual.target.grpc_url,
                folder / "frames",
                in_flight=busy,
            ),
            t.CLIENT_TENSORS: match.served(t.CLIENT_TENSORS, usual, "usual_network", tensors, busy),
            t.DECODE: partial(decode, workers=setup.cores),
            t.ENSEMBLE_ALONE: match.served(t.ENSEMBLE_ALONE, ours, names.ensemble, data, alone),
            t.BLS_ALONE: match.served(t.BLS_ALONE, ours, names.bls, data, alone),
            t.DECODE_ALONE: partial(decode, workers=1),
        }
        rounds = _play(setup, "stub network", contestants)
        wire = t.wire_target(
            [image_request_bytes(names.ensemble, file.read_bytes()) for file in frames],
            tensor_request_bytes(names.ensemble, setup.manifest.width, setup.manifest.height),
            setup.rounds,
        )
        return Match(
            f"Stub network that answers at once, {STUB_SIZE[0]}x{STUB_SIZE[1]} JPEGs, "
            f"{STUB_CONCURRENCY} in flight",
            rounds,
            match.profiles,
            (*t.stub_targets(rounds), wire),
        )


def network_match(setup: Setup) -> Match:
    """Compare the whole pipeline, with its own network and the images as they are."""
    manifest = setup.manifest
    names = model_names(manifest.name)
    with ExitStack() as stack:
        folder = _folder(stack)
        (folder / "frames").mkdir()
        for number, file in enumerate(setup.images):
            (folder / "frames" / f"{number:03d}_{file.name}").symlink_to(file.resolve())
        data = _image_data(setup.images, folder / "frames.json")
        ours = stack.enter_context(
            measured_server(link_pipeline(setup.repository, manifest.name, folder / "pipeline"))
        )
        match = _Servers(setup, "network")
        loop = partial(
            setup.loops.in_process, setup.repository.resolve(), manifest, folder / "frames"
        )
        contestants: dict[str, Callable[[], Sample]] = {
            t.ENSEMBLE: match.served(t.ENSEMBLE, ours, names.ensemble, data, STUB_CONCURRENCY),
            t.BLS: match.served(t.BLS, ours, names.bls, data, STUB_CONCURRENCY),
            t.STREAMS: partial(loop, "streams"),
            t.SHARED: partial(loop, "shared"),
        }
        if setup.ultralytics is not None:
            python, model = setup.ultralytics
            contestants[t.ULTRALYTICS] = partial(
                setup.loops.ultralytics, python, model, folder / "frames"
            )
        rounds = _play(setup, "real network", contestants)
        return Match(
            f"The pipeline's own network ({manifest.source}, {manifest.width}x{manifest.height}), "
            f"the images as they are, {STUB_CONCURRENCY} in flight",
            rounds,
            match.profiles,
            t.network_targets(rounds, "name a Python that has ultralytics with --ultralytics"),
        )


def batching_match(setup: Setup) -> Match:
    """Compare dynamic batching with none, for a network as fast with a batch as with one image."""
    names = model_names(setup.manifest.name)
    with ExitStack() as stack:
        folder = _folder(stack)
        frames = resized_jpegs(setup.images, *BATCHING_SIZE, folder / "frames")
        data = _image_data(frames, folder / "frames.json")
        batched, single = (
            stack.enter_context(
                measured_server(
                    stub_pipeline(
                        setup.repository,
                        setup.manifest,
                        setup.baselines,
                        folder / f"batching_{batching}",
                        delay_ms=BATCHING_DELAY_MS,
                        batching=batching,
                    )
                )
            )
            for batching in (True, False)
        )
        match = _Servers(setup, "batching")
        entries = (
            (t.ENSEMBLE, batched, names.ensemble),
            (t.BLS, batched, names.bls),
            (t.ENSEMBLE_UNBATCHED, single, names.ensemble),
            (t.BLS_UNBATCHED, single, names.bls),
        )
        contestants = {
            title: match.served(title, server, model, data, BATCHING_CONCURRENCY)
            for title, server, model in entries
        }
        rounds = _play(setup, "dynamic batching", contestants)
        return Match(
            f"A network that takes {BATCHING_DELAY_MS} ms for any batch, "
            f"{BATCHING_SIZE[0]}x{BATCHING_SIZE[1]} JPEGs, {BATCHING_CONCURRENCY} in flight",
            rounds,
            match.profiles,
            t.batching_targets(rounds),
        )


class _Servers:
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


def _play(
    setup: Setup, title: str, contestants: Mapping[str, Callable[[], Sample]]
) -> dict[str, tuple[Sample, ...]]:
    played: dict[str, list[Sample]] = {name: [] for name in contestants}
    for number, found in enumerate(play(contestants, setup.rounds), start=1):
        setup.progress(f"{title}: round {number} of {setup.rounds}")
        for name, sample in found.items():
            played[name].append(sample)
    return {name: tuple(samples) for name, samples in played.items()}


def _folder(stack: ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="framewire-bench-")))


def _image_data(files: Sequence[Path], data_file: Path) -> Path:
    write_image_data([file.read_bytes() for file in files], data_file)
    return data_file
