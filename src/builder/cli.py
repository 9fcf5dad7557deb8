"""The ``framewire`` command: parse, call one function, print."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from builder.errors import BuilderError
from thin_client.command_line import CommandLine

# Commands that import no others: so containers, which ask for health every few seconds, do it in a
# tenth of the time, and what serves holds a third of the memory for as long as it serves.
ALONE = ("health", "serve")


def _parser(wanted: str | None) -> argparse.ArgumentParser:
    if wanted in ALONE:
        parser: argparse.ArgumentParser = CommandLine(prog="framewire")
        command = importlib.import_module(f"builder.commands.{wanted}")
        getattr(command, f"add_{wanted}")(parser.add_subparsers())
        return parser
    whole: argparse.ArgumentParser = importlib.import_module(
        "builder.commands.parser"
    ).build_parser()
    return whole


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when it did its job, 1 when it could not and said why, 130 interrupted."""
    given = list(sys.argv[1:] if argv is None else argv)
    arguments = _parser(given[0] if given else None).parse_args(given)
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
