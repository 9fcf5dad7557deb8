"""The parser of ``framewire`` with all its commands."""

from __future__ import annotations

import argparse

from builder import __version__
from builder.commands.bench import add_bench
from builder.commands.build import add_build
from builder.commands.check import add_check
from builder.commands.demo import add_demo
from builder.commands.deploy import add_deploy
from builder.commands.doctor import add_doctor
from builder.commands.engine import add_engine
from builder.commands.gateway import add_gateway
from builder.commands.health import add_health
from builder.commands.inspect import add_inspect
from builder.commands.list import add_list
from builder.commands.load import add_load
from builder.commands.model_analyzer import add_model_analyzer
from builder.commands.prune import add_prune
from builder.commands.rollback import add_rollback
from builder.commands.serve import add_serve
from builder.commands.start import add_start
from builder.commands.tune import add_tune
from builder.commands.verify import add_verify
from thin_client.command_line import CommandLine


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command and its subcommands."""
    parser: argparse.ArgumentParser = CommandLine(
        prog="framewire", description="Detectors to Triton pipelines."
    )
    parser.add_argument("--version", action="version", version=f"framewire {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add_command in (
        add_build,
        add_inspect,
        add_list,
        add_rollback,
        add_load,
        add_prune,
        add_serve,
        add_start,
        add_gateway,
        add_health,
        add_deploy,
        add_demo,
        add_verify,
        add_bench,
        add_tune,
        add_model_analyzer,
        add_engine,
        add_check,
        add_doctor,
    ):
        add_command(commands)
    return parser
