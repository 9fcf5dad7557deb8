"""``framewire list``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from builder.commands.options import Commands, add_repository_option
from builder.errors import InvalidPipelineError
from builder.pipelines.manifest import pipelines
from builder.pipelines.publication import mend_repository
from builder.pipelines.versions import PipelineVersion, versions_of
from builder.serving.server_options import check_repository

COLUMNS = (
    "pipeline",
    "version",
    "state",
    "head",
    "size",
    "precision",
    "runtime",
    "classes",
    "built",
    "from",
)


def add_list(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("list", help="show the pipelines of a repository, by version")
    add_repository_option(parser, "to look into")
    parser.set_defaults(run=run_list)


def run_list(arguments: argparse.Namespace) -> None:
    """Print a row for each version, the newest of each pipeline first.

    Raises:
        InvalidPipelineError: a pipeline is damaged; the others have been printed then.
    """
    repository = arguments.repository
    check_repository(repository)
    mend_repository(repository)
    rows, damaged = [], []
    for name in pipelines(repository):
        try:
            rows += [_row(version) for version in versions_of(repository, name)]
        except InvalidPipelineError as error:
            damaged.append(error)
    if rows:
        _print_table(rows)
    elif not damaged:
        print(f"{repository} holds no pipelines of Framewire's")
    if damaged:
        raise damaged[0]


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]
    for row in (COLUMNS, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _row(version: PipelineVersion) -> Sequence[str]:
    manifest = version.manifest
    return (
        manifest.name,
        str(manifest.version),
        version.state.value,
        manifest.head,
        f"{manifest.width}x{manifest.height}",
        manifest.precision.value,
        manifest.runtime.value,
        str(manifest.num_classes),
        version.built.strftime("%Y-%m-%d %H:%M"),
        manifest.source,
    )
