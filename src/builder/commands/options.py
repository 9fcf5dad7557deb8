"""Options that several commands share."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from builder.serving.server_options import REPOSITORY, ServerOptions

Commands = argparse._SubParsersAction  # argparse gives the type no public name


def add_repository_option(command: argparse.ArgumentParser, purpose: str) -> None:
    """Add ``--repository``."""
    command.add_argument(
        "--repository", type=Path, default=REPOSITORY, help=f"{purpose} (%(default)s)"
    )


def add_port_options(command: argparse.ArgumentParser) -> None:
    """Add ``--grpc-port``, ``--http-port`` and ``--metrics-port``."""
    for purpose, port in ServerOptions(REPOSITORY).ports.items():
        command.add_argument(
            f"--{purpose}-port", type=int, default=port, help=f"of {purpose} (%(default)s)"
        )


def server_options(arguments: argparse.Namespace) -> ServerOptions:
    """Return what the options above say."""
    return ServerOptions(
        repository=arguments.repository,
        grpc_port=arguments.grpc_port,
        http_port=arguments.http_port,
        metrics_port=arguments.metrics_port,
    )


def positive(text: str) -> int:
    """Return a whole number of at least 1, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def tell(what: str) -> None:
    """Say how far a long measurement is; no part of its result."""
    print(f"framewire: {what}", file=sys.stderr, flush=True)
