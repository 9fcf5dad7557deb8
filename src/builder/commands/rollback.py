"""``framewire rollback``."""

from __future__ import annotations

import argparse

from builder.commands.options import Commands, add_repository_option
from builder.pipelines.version_changes import roll_back
from builder.pipelines.versions import publication_line


def add_rollback(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("rollback", help="make a kept version the active one again")
    parser.add_argument("name", help="of the pipeline")
    add_repository_option(parser, "that holds it")
    parser.add_argument(
        "--to", type=int, metavar="VERSION", help="the newest older one if not given"
    )
    parser.set_defaults(run=run_rollback)


def run_rollback(arguments: argparse.Namespace) -> None:
    """Roll back and say what is active now."""
    roll_back(arguments.repository, arguments.name, arguments.to)
    print(publication_line(arguments.repository, arguments.name))
