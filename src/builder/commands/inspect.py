"""``framewire inspect``."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from builder.commands.build_options import add_reading_options
from builder.commands.options import Commands
from builder.detectors.inspection import inspect_model
from builder.detectors.inspection_report import inspection_lines
from builder.detectors.labels import read_labels
from builder.detectors.source_model import onnx_of


def add_inspect(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "inspect", help="what a model file is, and whether `framewire build` takes it"
    )
    add_reading_options(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.set_defaults(run=run_inspect)


def run_inspect(arguments: argparse.Namespace) -> None:
    """Print what a model is; nothing is written."""
    labels = read_labels(arguments.labels) if arguments.labels else None
    with onnx_of(
        arguments.model, arguments.size, arguments.head, trust_pickle=arguments.trust_pickle
    ) as model_file:
        inspection = inspect_model(
            model_file,
            head=arguments.head,
            size=arguments.size,
            labels=labels,
            number_classes=arguments.number_classes,
        )
    if arguments.json:
        print(json.dumps({"file": arguments.model, **asdict(inspection)}, indent=1))
    else:
        print(*inspection_lines(inspection, arguments.model), sep="\n")
