"""``framewire model-analyzer``."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

from builder.benchmark.frames import jpeg_files
from builder.benchmark.model_analyzer import (
    NO_GPU,
    PROGRAM,
    RESULTS,
    Search,
    find_model_analyzer,
    profile_command,
    write_search,
)
from builder.benchmark.perf_analyzer import find_perf_analyzer
from builder.benchmark.repositories import measured_pipeline
from builder.commands.options import (
    Commands,
    add_port_options,
    add_repository_option,
    positive,
    server_options,
)
from builder.pipelines.publication import mend_repository
from builder.serving.embedded import find_embedded_triton
from builder.serving.server_options import check_ports, check_repository

OUT = Path("build/model-analyzer")


def add_model_analyzer(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "model-analyzer",
        help="write what Triton's Model Analyzer needs to search a pipeline's configuration",
    )
    parser.add_argument("images", nargs="+", help="JPEGs: files, folders or patterns")
    add_repository_option(parser, "that holds the pipeline")
    parser.add_argument("--name", help="of the pipeline (the repository's only one)")
    parser.add_argument("--bls", action="store_true", help="the BLS variant, not the ensemble")
    parser.add_argument(
        "--p99-ms", type=positive, default=Search.p99_ms, help="latency bound (%(default)s)"
    )
    parser.add_argument(
        "--max-batch", type=positive, help="of a model (that of the pipeline's build)"
    )
    parser.add_argument(
        "--max-instances", type=positive, default=Search.max_instances, help="(%(default)s)"
    )
    parser.add_argument(
        "--max-concurrency",
        type=positive,
        default=Search.max_concurrency,
        help="requests in flight (%(default)s)",
    )
    parser.add_argument(
        "--trials",
        type=positive,
        default=Search.trials,
        help="configurations to measure, besides the pipeline's own (%(default)s)",
    )
    parser.add_argument(
        "--window-ms",
        type=positive,
        default=Search.window_ms,
        help="of perf_analyzer, which takes three for a measurement (%(default)s)",
    )
    parser.add_argument(
        "--out", type=Path, default=OUT, help="for the config and the results (%(default)s)"
    )
    parser.add_argument("--run", dest="begin", action="store_true", help="begin the search")
    parser.add_argument("--model-analyzer", type=Path, metavar="PATH", help="the program itself")
    parser.add_argument("--perf-analyzer", type=Path, metavar="PATH", help="the program itself")
    add_port_options(parser)
    parser.set_defaults(run=run_model_analyzer)


def run_model_analyzer(arguments: argparse.Namespace) -> None:
    """Write the config and print the command that uses it, or become that command."""
    program = str(arguments.model_analyzer or PROGRAM)
    if arguments.begin:
        program = str(find_model_analyzer(arguments.model_analyzer))
        check_ports(server_options(arguments))
    config = _write_config(arguments)
    command = profile_command(program, config)
    variables = (f"{name}={shlex.quote(value)}" for name, value in NO_GPU.items())
    print(
        f"config: {config}",
        f"results: {config.parent / RESULTS}",
        f"search: {' '.join(variables)} {shlex.join(command)}",
        sep="\n",
    )
    sys.stdout.flush()
    if arguments.begin:
        # Not as a child: Ctrl-C is Model Analyzer's own to answer, it ends its server and keeps
        # what it has measured.
        os.execve(program, command, {**os.environ, **NO_GPU})  # noqa: S606 - no shell is wanted


def _write_config(arguments: argparse.Namespace) -> Path:
    check_repository(arguments.repository)
    mend_repository(arguments.repository)
    manifest = measured_pipeline(arguments.repository, arguments.name)
    search = Search(
        manifest,
        server_options(arguments),
        tuple(jpeg_files(arguments.images)),
        bls=arguments.bls,
        p99_ms=arguments.p99_ms,
        max_batch=min(arguments.max_batch or manifest.max_batch, manifest.max_batch),
        max_instances=arguments.max_instances,
        max_concurrency=arguments.max_concurrency,
        trials=arguments.trials,
        window_ms=arguments.window_ms,
    )
    return write_search(
        search,
        find_embedded_triton(),
        find_perf_analyzer(arguments.perf_analyzer),
        arguments.out / search.model,
    )
