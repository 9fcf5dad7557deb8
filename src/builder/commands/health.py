"""``framewire health``."""

from __future__ import annotations

import argparse
from pathlib import Path

from builder.serving.readiness import (
    check_ready,
    check_supervised,
    pipelines_by_manifest,
)

# As in builder.commands.options and ServerOptions, which would take half a second to import.
REPOSITORY, ADDRESS, HTTP_PORT = Path("model_repository"), "127.0.0.1", 8000


def add_health(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("health", help="whether a running server's pipelines are ready")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of pipelines (all there are)")
    parser.add_argument(
        "--repository",
        type=Path,
        default=REPOSITORY,
        help="that says which models a pipeline has, and whose pipelines are meant when none is "
        "named (%(default)s)",
    )
    parser.add_argument("--address", default=ADDRESS, help="of the server (%(default)s)")
    parser.add_argument(
        "--http-port", type=int, default=HTTP_PORT, help="of the server (%(default)s)"
    )
    parser.add_argument(
        "--health-port",
        type=int,
        metavar="PORT",
        help="of its supervisor, which is then asked instead: whether pipelines answer, and not "
        "only whether Triton calls them ready",
    )
    parser.set_defaults(run=run_health)


def run_health(arguments: argparse.Namespace) -> None:
    """Say that all is ready, or raise what is not."""
    if arguments.health_port is not None:
        ready = check_supervised(arguments.names, arguments.address, arguments.health_port)
        print(f"ready: {', '.join(ready)}")
        return
    names = arguments.names or pipelines_by_manifest(arguments.repository)
    check_ready(names, arguments.address, arguments.http_port, repository=arguments.repository)
    print(f"ready: {', '.join(names)}")
