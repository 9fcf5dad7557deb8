"""``framewire load``."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from builder.commands.options import Commands, add_repository_option
from builder.errors import SettingsError
from builder.pipelines.manifest import active_version
from builder.pipelines.publication import mend_repository
from builder.pipelines.version_changes import prune
from builder.serving.running_server import load_version, unload_old_versions

LOAD_TIMEOUT_S = 120.0


def add_load(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "load", help="have running servers take the active version and let go of the old one"
    )
    parser.add_argument("name", help="of the pipeline")
    add_repository_option(parser, "that the servers serve")
    parser.add_argument(
        "--url",
        action="append",
        required=True,
        metavar="HOST:PORT",
        help="gRPC endpoint of a server in explicit or poll mode; may be given several times",
    )
    parser.add_argument(
        "--timeout",
        dest="timeout_s",
        type=float,
        default=LOAD_TIMEOUT_S,
        help="seconds for each server (%(default)g)",
    )
    parser.set_defaults(run=run_load)


def run_load(arguments: argparse.Namespace) -> None:
    """Load, wait, prune, and say so."""
    if not 0 < arguments.timeout_s < math.inf:
        raise SettingsError(
            f"--timeout must be a number of seconds above 0, got {arguments.timeout_s:g}"
        )
    load_everywhere(arguments.repository, arguments.name, arguments.url, arguments.timeout_s)


def load_everywhere(
    repository: Path, name: str, urls: Sequence[str], timeout_s: float = LOAD_TIMEOUT_S
) -> None:
    """Have servers take the active version of a pipeline, then let go of the one before."""
    if not urls:
        return
    mend_repository(repository)
    version = active_version(repository, name)
    for url in urls:
        load_version(url, name, version, timeout_s)
        print(f"{url} serves version {version} of {name}", flush=True)
    # Only now that no server needs it.
    dropped = prune(repository, name, version)
    for url in urls:
        unload_old_versions(url, name, version, timeout_s)
    if dropped:
        print(f"version {', '.join(map(str, dropped))} is no longer loaded")
