"""The ``framewire`` command: parse, call one function, print."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from builder import __version__
from builder.commands.bench import add_bench
from builder.commands.build import add_build
from builder.commands.check import add_check
from builder.commands.demo import add_demo
from builder.commands.deploy import add_deploy
from builder.commands.engine import add_engine
from builder.commands.inspect import add_inspect
from builder.commands.list import add_list
from builder.commands.load import add_load
from builder.commands.model_analyzer import add_model_analyzer
from builder.commands.prune import add_prune
from builder.commands.rollback import add_rollback
from builder.commands.serve import add_serve
from builder.commands.tune import add_tune
from builder.commands.verify import add_verify
from builder.errors import BuilderError


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command and its subcommands."""
    parser = argparse.ArgumentParser(prog="framewire", description="Detectors to Triton pipelines.")
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
        add_deploy,
        add_demo,
        add_verify,
        add_bench,
        add_tune,
        add_model_analyzer,
        add_engine,
        add_check,
    ):
        add_command(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when it did its job, 1 when it could not and said why, 130 interrupted."""
    arguments = build_parser().parse_args(argv)
    try:
        arguments.run(arguments)
        sys.stdout.flush()
    except BuilderError as error:
        print(f"framewire: {_one_line(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("framewire: interrupted", file=sys.stderr)
        return 130
    except OSError as error:
        # Whoever read the output is gone, or its disk is full. Python would try once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"framewire: cannot write the output: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _one_line(message: str) -> str:
    """Return a message without what files, and their names, may bring along to play tricks."""
    return "".join(each if each.isprintable() else " " for each in message)


if __name__ == "__main__":
    sys.exit(main())
