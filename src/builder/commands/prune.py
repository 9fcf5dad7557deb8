"""``framewire prune``."""

from __future__ import annotations

import argparse

from builder.commands.options import Commands, add_repository_option
from builder.pipelines.version_changes import prune


def add_prune(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "prune", help="have servers load the active version only, once all have changed to it"
    )
    parser.add_argument("name", help="of the pipeline")
    add_repository_option(parser, "that holds it")
    parser.set_defaults(run=run_prune)


def run_prune(arguments: argparse.Namespace) -> None:
    """Drop the old versions from the configs and say so."""
    dropped = prune(arguments.repository, arguments.name)
    if dropped:
        print(f"servers no longer load version {', '.join(map(str, dropped))}; its files stay")
    else:
        print("servers load no other version")
