"""``framewire bench``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from builder.benchmark.batching_match import batching_match
from builder.benchmark.comparison import Match, Setup
from builder.benchmark.frames import jpeg_files
from builder.benchmark.machine import describe_machine
from builder.benchmark.network_match import network_match
from builder.benchmark.perf_analyzer import find_perf_analyzer
from builder.benchmark.pipeline_sweep import PipelineSweep, sweep_pipeline
from builder.benchmark.report import Results, html_report, result_lines
from builder.benchmark.repositories import BASELINES, check_baselines
from builder.benchmark.soak import SHORTEST_MIN, Soak, SoakNetwork, soak
from builder.benchmark.stub_match import stub_match
from builder.benchmark.sweep import CONCURRENCIES
from builder.commands.options import Commands, add_repository_option
from builder.errors import BenchmarkError
from builder.pipelines.manifest import Manifest, pipelines, read_manifest
from builder.serving.server import sigterm_interrupts
from builder.settings import Runtime
from thin_client.contract import model_names

OUT = Path("build/bench")
REPORT = "report.html"
MATCHES = {"stub": stub_match, "network": network_match, "batching": batching_match}


def add_bench(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "bench", help="measure a pipeline with perf_analyzer and compare it with other ways"
    )
    parser.add_argument("images", nargs="+", help="JPEGs: files, folders or patterns")
    add_repository_option(parser, "that holds the pipeline")
    parser.add_argument("--name", help="of the pipeline (the repository's only one)")
    parser.add_argument("--out", type=Path, default=OUT, help="for the results (%(default)s)")
    parser.add_argument(
        "--rounds", type=_positive, default=5, help="of the comparison (%(default)s)"
    )
    parser.add_argument(
        "--window-ms",
        type=_positive,
        default=1000,
        help="of perf_analyzer, which takes three for a load (%(default)s)",
    )
    parser.add_argument(
        "--p99-ms",
        type=float,
        default=100.0,
        help="latency bound of the sweet spot (%(default)g)",
    )
    parser.add_argument(
        "--max-concurrency",
        type=_positive,
        default=CONCURRENCIES[-1],
        help="of the sweep (%(default)s)",
    )
    parser.add_argument("--both", action="store_true", help="also sweep the BLS variant")
    parser.add_argument("--no-sweep", action="store_true", help="leave the sweep out")
    parser.add_argument("--no-comparison", action="store_true", help="leave the comparison out")
    parser.add_argument(
        "--match",
        choices=tuple(MATCHES),
        action="append",
        help="only this part of the comparison; may be repeated",
    )
    parser.add_argument(
        "--soak",
        type=_minutes,
        metavar="MINUTES",
        help="then keep both variants under full load and watch every process's memory",
    )
    parser.add_argument(
        "--soak-network",
        choices=tuple(each.value for each in SoakNetwork),
        default=SoakNetwork.STUB.value,
        help="a stub, which lets most images through the rest, or the pipeline's (%(default)s)",
    )
    parser.add_argument(
        "--baselines",
        type=Path,
        default=BASELINES,
        help="folder of what it is compared with (%(default)s)",
    )
    parser.add_argument("--perf-analyzer", type=Path, metavar="PATH", help="the program itself")
    parser.add_argument(
        "--ultralytics",
        nargs=2,
        type=Path,
        metavar=("PYTHON", "MODEL"),
        help="a Python that has ultralytics, and the detector's file, to compare with `predict`",
    )
    parser.set_defaults(run=run_bench)


def run_bench(arguments: argparse.Namespace) -> None:
    """Measure, print, write the report."""
    setup = _setup(arguments)
    names = model_names(setup.manifest.name)
    sweeps: list[PipelineSweep] = []
    matches: list[Match] = []
    soaked: Soak | None = None
    with sigterm_interrupts():
        machine = describe_machine()
        if not arguments.no_sweep:
            models = (names.ensemble, names.bls) if arguments.both else (names.ensemble,)
            sweeps += [
                sweep_pipeline(
                    setup,
                    model,
                    latency_bound_ms=arguments.p99_ms,
                    max_concurrency=arguments.max_concurrency,
                )
                for model in models
            ]
        if not arguments.no_comparison:
            matches += [MATCHES[name](setup) for name in arguments.match or MATCHES]
        if arguments.soak:
            soaked = soak(setup, arguments.soak, SoakNetwork(arguments.soak_network))
    manifest = setup.manifest
    results = Results(
        f"{manifest.name} version {manifest.version}, {manifest.source}, "
        f"{manifest.width}x{manifest.height}, {manifest.runtime.value}",
        machine,
        f"{len(setup.images)} JPEGs, {_mean_kb(setup.images):.0f} kB on average",
        sweeps,
        matches,
        soaked,
    )
    report = setup.out / REPORT
    report.write_text(html_report(results))
    lines = result_lines(results)
    (setup.out / "results.txt").write_text("\n".join(lines) + "\n")
    print(f"report: {report}", *lines, sep="\n")


def _setup(arguments: argparse.Namespace) -> Setup:
    repository: Path = arguments.repository
    analyzer = find_perf_analyzer(arguments.perf_analyzer)
    if not arguments.no_comparison or arguments.soak:
        check_baselines(arguments.baselines)
    manifest = read_manifest(repository, arguments.name or _only_pipeline(repository))
    _check_runtime(manifest)
    images = jpeg_files(arguments.images)
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchmarkError(
            f"cannot write into {arguments.out} ({error.strerror}): choose another folder with "
            "--out"
        ) from error
    return Setup(
        analyzer=analyzer,
        repository=repository,
        manifest=manifest,
        images=images,
        baselines=arguments.baselines,
        out=arguments.out,
        rounds=arguments.rounds,
        window_ms=arguments.window_ms,
        cores=len(os.sched_getaffinity(0)),
        ultralytics=tuple(arguments.ultralytics) if arguments.ultralytics else None,
        progress=_tell,
    )


def _tell(what: str) -> None:
    # Not part of the result.
    print(f"framewire: {what}", file=sys.stderr, flush=True)


def _check_runtime(manifest: Manifest) -> None:
    if manifest.runtime is not Runtime.PYTHON:
        raise BenchmarkError(
            f"the embedded Triton cannot run {manifest.name}, whose network is built with "
            f"--runtime {manifest.runtime.value}: build it with --runtime python too, under "
            "another name"
        )


def _only_pipeline(repository: Path) -> str:
    found = pipelines(repository)
    if len(found) != 1:
        raise BenchmarkError(
            f"{repository} has {len(found)} pipelines ({', '.join(found) or 'none'}): choose one "
            "with --name, or another --repository"
        )
    return found[0]


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def _minutes(text: str) -> float:
    value = float(text)
    if value != 0 and value < SHORTEST_MIN:
        raise argparse.ArgumentTypeError(f"must be 0 or at least {SHORTEST_MIN}, got {text}")
    return value


def _mean_kb(files: Sequence[Path]) -> float:
    return sum(file.stat().st_size for file in files) / len(files) / 1e3
