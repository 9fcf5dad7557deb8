"""``framewire demo``."""

from __future__ import annotations

import argparse
from pathlib import Path

from builder.commands.options import (
    Commands,
    add_port_options,
    add_repository_option,
    server_options,
)
from builder.demo import DemoOptions, run_demo
from builder.serving.server import sigterm_interrupts


def add_demo(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("demo", help="serve the demo pipeline and find codes in a picture")
    add_repository_option(parser, "to serve")
    parser.add_argument("--model", default=DemoOptions.pipeline, help="pipeline (%(default)s)")
    parser.add_argument(
        "--image", type=Path, default=DemoOptions.image, help="to send (%(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, default=DemoOptions.picture, help="annotated picture (%(default)s)"
    )
    add_port_options(parser)
    parser.set_defaults(run=run_demo_command)


def run_demo_command(arguments: argparse.Namespace) -> None:
    """Run the demo."""
    options = DemoOptions(
        server=server_options(arguments),
        pipeline=arguments.model,
        image=arguments.image,
        picture=arguments.out,
    )
    with sigterm_interrupts():
        for line in run_demo(options):
            print(line, flush=True)
