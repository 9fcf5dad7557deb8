"""``framewire engine``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from builder.commands.options import Commands
from builder.serving.server import sigterm_interrupts
from builder.tensorrt.engine import EngineResult, build_engine, engine_command, tensorrt_pipelines
from builder.tensorrt.engine_options import EngineOptions, EnginePrecision
from builder.tensorrt.frame_profiles import DEFAULT_ASPECTS

# Of the status line: on a terminal it is rewritten, in a log it is repeated.
TERMINAL_INTERVAL_S, LOG_INTERVAL_S = 1, 30
STATUS_WIDTH = 78


def add_engine(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "engine", help="compile TensorRT plans, on the GPU and in the image that serve them"
    )
    parser.add_argument("--repository", type=Path, required=True, help="that holds the pipelines")
    parser.add_argument("--name", help="of one pipeline (all whose network is a TensorRT plan)")
    for option, text in (
        ("min", "smallest batch that the plan takes (%(default)s)"),
        ("opt", "batch that it is made fastest for (the largest)"),
        ("max", "largest batch that it takes (the pipeline's)"),
    ):
        default = getattr(EngineOptions, f"{option}_batch")
        parser.add_argument(f"--{option}-batch", type=int, default=default, help=text)
    precision = parser.add_mutually_exclusive_group()
    for each, text in (
        (EnginePrecision.FP16, "compute in float16 too, where that is faster (TensorRT up to 10)"),
        (EnginePrecision.BEST, "compute in every type that the GPU has (TensorRT up to 10)"),
    ):
        precision.add_argument(
            f"--{each.value}", dest="precision", action="store_const", const=each, help=text
        )
    parser.add_argument(
        "--workspace",
        dest="workspace_mib",
        type=int,
        metavar="MIB",
        help="GPU memory for intermediate results (all there is)",
    )
    parser.add_argument(
        "--aspects",
        help="width:height of the pictures that it is made fastest for, up to three, or ranges as "
        f"in 4:3-16:9 ({DEFAULT_ASPECTS}); frames of all other sizes are taken too",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        help="folder that keeps plans and timings (.REPOSITORY.framewire-cache, beside it)",
    )
    parser.add_argument("--device", help="index or UUID of the GPU, as in nvidia-smi (the first)")
    parser.add_argument(
        "--trtexec-option",
        dest="extra",
        action="append",
        default=[],
        metavar="OPTION",
        help="a further option of trtexec, as in --trtexec-option=--noTF32; may be repeated",
    )
    parser.add_argument(
        "--force", action="store_true", help="compile again what fits, as a new version"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the trtexec commands and compile nothing"
    )
    parser.set_defaults(run=run_engine, precision=EnginePrecision.GRAPH)


def run_engine(arguments: argparse.Namespace) -> None:
    """Compile plans, or print the commands that would."""
    options = EngineOptions(
        min_batch=arguments.min_batch,
        opt_batch=arguments.opt_batch,
        max_batch=arguments.max_batch,
        precision=arguments.precision,
        workspace_mib=arguments.workspace_mib,
        extra=tuple(arguments.extra),
        cache=arguments.cache,
        aspects=arguments.aspects,
        device=arguments.device,
        force=arguments.force,
    )
    names = tensorrt_pipelines(arguments.repository, arguments.name)
    if arguments.dry_run:
        for name in names:
            print(engine_command(arguments.repository, name, options))
        return
    with sigterm_interrupts():
        for name in names:
            build_and_tell(arguments.repository, name, options)


def build_and_tell(repository: Path, name: str, options: EngineOptions) -> None:
    """Give a pipeline a plan that fits, with a status line meanwhile and a line on the result."""
    print(_result_line(_build_with_status(repository, name, options)), flush=True)


def _build_with_status(repository: Path, name: str, options: EngineOptions) -> EngineResult:
    terminal = sys.stderr.isatty()
    start, end = ("\r\x1b[K", "") if terminal else ("", "\n")

    def show(seconds: float, line: str) -> None:
        status = f"{name}: trtexec, {seconds:.0f} s: {line}"[:STATUS_WIDTH]
        print(f"{start}{status}", end=end, file=sys.stderr, flush=True)

    try:
        return build_engine(
            repository,
            name,
            options,
            progress=show,
            interval_s=TERMINAL_INTERVAL_S if terminal else LOG_INTERVAL_S,
        )
    finally:
        if terminal:
            print(start, end="", file=sys.stderr, flush=True)


def _result_line(result: EngineResult) -> str:
    made, new = result.fingerprint, result.new_plan
    place = f"TensorRT {made.tensorrt_version} on {made.gpu} ({made.compute_capability})"
    if new is None:
        return f"{result.name}: the plan of version {result.version} fits {place}, nothing to do"
    how = "taken from the cache" if new.seconds is None else f"compiled in {new.seconds:.0f} s"
    return (
        f"{result.name}: version {result.version} has a plan for {place}: "
        f"{new.size_bytes / 2**20:.1f} MiB, {how} because the one before {new.reason}"
    )
