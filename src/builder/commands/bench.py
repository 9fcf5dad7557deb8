"""``framewire bench``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from builder.benchmark import targets as t
from builder.benchmark.comparison import Match, Measuring, image_data, working_folder
from builder.benchmark.gpu import gpus
from builder.benchmark.gpu_match import GpuRun, gpu_match
from builder.benchmark.machine import describe_machine
from builder.benchmark.pipeline_sweep import PipelineSweep, sweep_pipeline
from builder.benchmark.report import Results, html_report, result_lines
from builder.benchmark.repositories import gpu_pipeline, link_pipeline
from builder.benchmark.running import RunningPipeline, find_running
from builder.benchmark.serving import MeasuredServer, measured_server
from builder.benchmark.soak import Soak, SoakNetwork, soak
from builder.commands.bench_options import MATCHES, add_bench_options
from builder.commands.bench_setup import measuring_of, setup_of
from builder.commands.options import Commands
from builder.errors import BenchmarkError
from builder.serving.server import sigterm_interrupts
from thin_client.contract import model_names

REPORT = "report.html"


def add_bench(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "bench", help="measure a pipeline with perf_analyzer and compare it with other ways"
    )
    add_bench_options(parser)
    parser.set_defaults(run=run_bench)


def run_bench(arguments: argparse.Namespace) -> None:
    """Measure, print, write the report."""
    if arguments.gpu:
        gpus()
    with sigterm_interrupts():
        machine = describe_machine()
        results = (_measure_running if arguments.url else _measure_repository)(arguments, machine)
    report = arguments.out / REPORT
    report.write_text(html_report(results))
    lines = result_lines(results)
    (arguments.out / "results.txt").write_text("\n".join(lines) + "\n")
    print(f"report: {report}", *lines, sep="\n")


def _measure_running(arguments: argparse.Namespace, machine: dict[str, str]) -> Results:
    if arguments.match or arguments.soak:
        raise BenchmarkError(
            "--match and --soak start servers of their own: leave out either them or --url"
        )
    measuring = measuring_of(arguments)
    running = find_running(arguments.url, arguments.name, arguments.metrics_url)
    sweeps = _sweeps(arguments, measuring, running)
    run = _gpu_run(arguments, measuring, running.server, running.name) if arguments.gpu else None
    return _results(running.words, machine, measuring, sweeps=sweeps, gpu=run)


def _measure_repository(arguments: argparse.Namespace, machine: dict[str, str]) -> Results:
    setup = setup_of(arguments)
    manifest = setup.manifest
    sweeps: list[PipelineSweep] = []
    matches: list[Match] = []
    soaked: Soak | None = None
    run: GpuRun | None = None
    if not arguments.no_sweep:
        with ExitStack() as stack:
            folder = working_folder(stack) / "pipeline"
            served = link_pipeline(setup.repository, manifest.name, folder)
            server = stack.enter_context(measured_server(served))
            running = RunningPipeline(server, manifest.name, manifest.max_batch, "")
            sweeps += _sweeps(arguments, setup, running)
    if not arguments.no_comparison:
        matches += [MATCHES[name](setup) for name in arguments.match or MATCHES]
    if arguments.gpu:
        with ExitStack() as stack:
            served = gpu_pipeline(
                setup.repository,
                manifest,
                setup.baselines,
                working_folder(stack) / "pipeline",
                device=arguments.gpu_device,
            )
            server = stack.enter_context(measured_server(served))
            run = _gpu_run(arguments, setup, server, manifest.name)
    if arguments.soak:
        soaked = soak(setup, arguments.soak, SoakNetwork(arguments.soak_network))
    words = (
        f"{manifest.name} version {manifest.version}, {manifest.source}, "
        f"{manifest.width}x{manifest.height}, {manifest.runtime.value}"
    )
    return _results(words, machine, setup, sweeps=sweeps, matches=matches, soaked=soaked, gpu=run)


def _sweeps(
    arguments: argparse.Namespace, measuring: Measuring, running: RunningPipeline
) -> list[PipelineSweep]:
    if arguments.no_sweep:
        return []
    names = model_names(running.name)
    with ExitStack() as stack:
        data = image_data(measuring.images, working_folder(stack) / "images.json")
        return [
            sweep_pipeline(
                measuring,
                running.server,
                model,
                data,
                title=model,
                max_batch=running.max_batch,
                latency_bound_ms=arguments.p99_ms,
                max_concurrency=arguments.max_concurrency,
            )
            for model in ((names.ensemble, names.bls) if arguments.both else (names.ensemble,))
        ]


def _gpu_run(
    arguments: argparse.Namespace, measuring: Measuring, server: MeasuredServer, name: str
) -> GpuRun:
    return gpu_match(
        measuring,
        server,
        name,
        latency_bound_ms=arguments.p99_ms,
        max_concurrency=arguments.max_concurrency,
    )


def _results(
    pipeline: str,
    machine: dict[str, str],
    measuring: Measuring,
    *,
    sweeps: Sequence[PipelineSweep],
    matches: Sequence[Match] = (),
    soaked: Soak | None = None,
    gpu: GpuRun | None = None,
) -> Results:
    unmeasured: tuple[t.Target, ...] = ()
    if gpu is not None:
        sweeps, matches = [*sweeps, *gpu.sweeps], [*matches, gpu.match]
    elif matches:
        why = "no GPU here" if machine["gpu"] == "none" else "add --gpu"
        unmeasured = (t.gpu_target(None, why),)
    return Results(
        pipeline,
        machine,
        f"{len(measuring.images)} JPEGs, {_mean_kb(measuring.images):.0f} kB on average",
        sweeps,
        matches,
        soaked,
        gpu.gpus if gpu else (),
        gpu.part_loads if gpu else (),
        unmeasured,
    )


def _mean_kb(files: Sequence[Path]) -> float:
    return sum(file.stat().st_size for file in files) / len(files) / 1e3
