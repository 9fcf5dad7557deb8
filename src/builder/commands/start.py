"""``framewire start``."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from builder.commands.engine import build_and_tell
from builder.commands.options import Commands
from builder.commands.serve import add_serve_options, serve_options, supervision
from builder.serving.foreground import serve
from builder.serving.installed import find_installed_triton
from builder.serving.repository_paths import check_paths
from builder.serving.server import sigterm_interrupts
from builder.serving.server_options import check_ports
from builder.serving.supervision.supervisor import check_supervision
from builder.tensorrt.engine_options import EngineOptions
from builder.tensorrt.fitting_plans import fitting_plans


def add_start(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "start", help="serve, after giving networks TensorRT plans that fit: what containers run"
    )
    add_serve_options(parser)
    parser.add_argument(
        "--cache",
        type=Path,
        help="folder that keeps plans and timings (.REPOSITORY.framewire-cache, beside it); holds "
        "a copy of the repository while one that cannot be written is served with new plans",
    )
    parser.set_defaults(run=run_start)


def run_start(arguments: argparse.Namespace) -> None:
    """Make the plans that are wanted, and serve until a signal comes."""
    options, watched = serve_options(arguments), supervision(arguments)
    check_paths(options.repository)
    if options.triton is None:
        # The embedded Triton has no use for plans, and refuses their pipelines.
        serve(options, watched)
        return
    # Before minutes of compiling, not after.
    find_installed_triton(options.triton)
    if watched is None:
        check_ports(options)
    else:
        check_supervision(options, watched)
    with (
        sigterm_interrupts(),
        fitting_plans(
            options.repository, EngineOptions(cache=arguments.cache), build_and_tell
        ) as fitting,
    ):
        served = replace(options, repository=fitting.repository, left_out=fitting.left_out)
        serve(served, watched)
