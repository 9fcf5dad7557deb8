"""``framewire serve``."""

from __future__ import annotations

import argparse
from dataclasses import replace

from builder.commands.options import (
    Commands,
    add_port_options,
    add_repository_option,
    server_options,
)
from builder.serving.server import serve
from builder.serving.server_options import ModelControl, ServerOptions


def add_serve(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("serve", help="run the embedded Triton in the foreground")
    add_repository_option(parser, "to serve")
    parser.add_argument(
        "--address", default=ServerOptions.address, help="IPv4 address to listen on (%(default)s)"
    )
    add_port_options(parser)
    parser.add_argument(
        "--control",
        type=ModelControl,
        default=ServerOptions.control,
        metavar="|".join(each.value for each in ModelControl),
        help="how it learns of new versions: not at all, by looking, or by `framewire load` "
        f"({ServerOptions.control.value})",
    )
    parser.add_argument(
        "--poll-seconds",
        dest="poll_s",
        type=int,
        default=ServerOptions.poll_s,
        help="between two looks with --control poll (%(default)s)",
    )
    parser.add_argument("--verbose", action="store_true", help="show all of Triton's log")
    parser.set_defaults(run=run_serve)


def run_serve(arguments: argparse.Namespace) -> None:
    """Serve a repository until a signal comes."""
    serve(
        replace(
            server_options(arguments),
            address=arguments.address,
            verbose=arguments.verbose,
            control=arguments.control,
            poll_s=arguments.poll_s,
        )
    )
