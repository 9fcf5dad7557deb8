"""``framewire check``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from builder.commands.options import Commands, add_repository_option
from builder.detectors.frame_shapes import Framing
from builder.errors import CheckError, ModelFileError, RepositoryError, SettingsError
from builder.pipelines.manifest import read_manifest
from builder.pipelines.model_configs import NETWORK_FILE
from builder.pipelines.pipeline_check import checked_names, pipeline_problems
from builder.pipelines.version_framing import framing_of_version
from builder.settings import BuildSettings, Runtime
from builder.tensorrt.engine_machine import this_machine
from builder.tensorrt.plan import (
    Machine,
    network_folder,
    read_fingerprint,
)
from builder.tensorrt.tensorrt_check import COMPUTE_CAPABILITIES, compile_network


def add_check(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "check", help="whether pipelines are whole, and TensorRT takes them"
    )
    parser.add_argument(
        "model", type=Path, nargs="?", help="an ONNX file to check instead, with --tensorrt"
    )
    add_repository_option(parser, "to check")
    parser.add_argument("--name", help="of one pipeline (all)")
    parser.add_argument(
        "--tensorrt",
        action="store_true",
        help="compile networks with tensorrt-rtx, which needs no GPU (extra tensorrt-check)",
    )
    parser.add_argument(
        "--compute-capability",
        dest="compute_capabilities",
        nargs="+",
        action="extend",
        metavar="X.Y",
        help=f"of the GPUs to compile for ({' '.join(COMPUTE_CAPABILITIES)})",
    )
    parser.add_argument(
        "--max-batch",
        type=int,
        default=BuildSettings.max_batch,
        help="largest batch to compile an ONNX file for (%(default)s)",
    )
    parser.set_defaults(run=run_check)


def run_check(arguments: argparse.Namespace) -> None:
    """Print a line for everything checked and for everything wrong."""
    capabilities = tuple(arguments.compute_capabilities or COMPUTE_CAPABILITIES)
    if arguments.model is not None:
        if not arguments.tensorrt:
            raise SettingsError(
                f"an ONNX file can be checked for TensorRT only: add --tensorrt to check "
                f"{arguments.model}, or name a repository with --repository"
            )
        if arguments.max_batch < 1:
            raise SettingsError(f"--max-batch must be at least 1, got {arguments.max_batch}")
        name = arguments.model.name
        problems = _compile(arguments.model, name, capabilities, arguments.max_batch)
    else:
        names, machine = checked_names(arguments.repository, arguments.name), this_machine()
        problems = [
            problem
            for name in names
            for problem in _check_pipeline(arguments, name, capabilities, machine)
        ]
    if problems:
        count = "1 problem was" if len(problems) == 1 else f"{len(problems)} problems were"
        raise CheckError(f"{count} found, listed above")


def _check_pipeline(
    arguments: argparse.Namespace, name: str, capabilities: Sequence[str], machine: Machine
) -> list[str]:
    repository = arguments.repository
    problems = list(pipeline_problems(repository, name, machine))
    for problem in problems:
        print(f"{name}: {problem}", flush=True)
    if not problems:
        _say_whole(repository, name, machine)
    if arguments.tensorrt:
        # What cannot be read at all is among the problems already.
        with suppress(RepositoryError, ModelFileError):
            manifest = read_manifest(repository, name)
            onnx_file = network_folder(repository, name, manifest.version) / NETWORK_FILE
            framing = framing_of_version(repository, manifest)
            problems += _compile(onnx_file, name, capabilities, manifest.max_batch, framing)
    return problems


def _say_whole(repository: Path, name: str, machine: Machine) -> None:
    manifest = read_manifest(repository, name)
    print(
        f"{name}: version {manifest.version} is whole: {manifest.head} head, "
        f"{manifest.width}x{manifest.height}, network in {manifest.runtime.value}",
        flush=True,
    )
    plan = read_fingerprint(network_folder(repository, name, manifest.version))
    if manifest.runtime is Runtime.TENSORRT and plan:
        here = "which are here"
        if None in {machine.tensorrt_version, machine.compute_capability}:
            here = "and not all of that is here to compare"
        print(
            f"{name}: its plan is for TensorRT {plan.tensorrt_version} and compute capability "
            f"{plan.compute_capability}, {here}",
            flush=True,
        )


def _compile(
    onnx_file: Path,
    name: str,
    capabilities: Sequence[str],
    max_batch: int,
    framing: Framing | None = None,
) -> list[str]:
    report = compile_network(onnx_file, capabilities, max_batch=max_batch, framing=framing)
    if report.accepted:
        print(
            f"{name}: TensorRT compiles its network for compute capability "
            f"{', '.join(report.compute_capabilities)} ({report.seconds:.1f} s)",
            flush=True,
        )
    problems = [f"TensorRT does not accept {problem}" for problem in report.problems]
    for problem in problems:
        print(f"{name}: {problem}", flush=True)
    return problems
