"""``framewire tune``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from builder.benchmark.comparison import Measuring, image_data, working_folder
from builder.benchmark.frames import jpeg_files
from builder.benchmark.machine import describe_machine
from builder.benchmark.perf_analyzer import WINDOWS, find_perf_analyzer
from builder.benchmark.repositories import measured_pipeline
from builder.benchmark.sweep import CONCURRENCIES
from builder.commands.options import Commands, add_repository_option, positive, tell
from builder.errors import TuningError
from builder.pipelines.manifest import Manifest
from builder.pipelines.publication import mend_repository
from builder.pipelines.version_changes import KEPT_OLD_VERSIONS, check_keep
from builder.pipelines.versions import publication_line
from builder.precision.calibration import (
    calibration_files,
    check_calibration_installed,
    int8_of_version,
)
from builder.serving.server import sigterm_interrupts
from builder.serving.server_options import check_repository
from builder.settings import Decoder, Precision
from builder.tuning.evidence import Tuning, evidence_files, evidence_lines
from builder.tuning.measuring import Bench
from builder.tuning.parameters import TUNED_PRECISIONS, Space, present_choice, search_space
from builder.tuning.retuning import check_retunable, publish_choice
from builder.tuning.search import search
from thin_client.contract import model_names

OUT = Path("build/tune")
# Fewer say nothing about a spread.
FEWEST_ROUNDS = 3
ENSEMBLE, BLS, BOTH = "ensemble", "bls", "both"


def add_tune(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "tune", help="search the settings with the most throughput within a latency bound"
    )
    parser.add_argument("images", nargs="+", help="JPEGs: files, folders or patterns")
    add_repository_option(parser, "that holds the pipeline")
    parser.add_argument("--name", help="of the pipeline (the only one there is)")
    parser.add_argument(
        "--p99-ms", type=_milliseconds, default=100.0, help="latency bound (%(default)g)"
    )
    parser.add_argument(
        "--variant",
        choices=(ENSEMBLE, BLS, BOTH),
        default=ENSEMBLE,
        help="what is to be fast (%(default)s)",
    )
    for option, text in (
        ("--instances", "processes that decode, to try: 1,2,4 (powers of two to twice the cores)"),
        ("--decode-threads", "of each, to try, 0 for its share of the cores (0, 1, the cores)"),
        ("--max-batch", "to try; a smaller one refuses larger requests (as built and twice that)"),
    ):
        parser.add_argument(option, type=_numbers, metavar="N,N,...", help=text)
    parser.add_argument(
        "--allow-scaled",
        action="store_true",
        help="also try --decoder scaled, which changes pixels: `framewire verify` shows the cost",
    )
    parser.add_argument(
        "--precisions",
        type=_precisions,
        default=(),
        metavar="P,P,...",
        help="of the network, to try: fp32,bf16,int8; those after the first are faster and move "
        "boxes: `framewire verify` shows the cost (as built)",
    )
    parser.add_argument(
        "--calibrate",
        nargs="+",
        metavar="IMAGES",
        help="with int8 among --precisions: files, folders or patterns",
    )
    parser.add_argument(
        "--max-concurrency",
        type=positive,
        default=CONCURRENCIES[-1],
        help="requests in flight (%(default)s)",
    )
    parser.add_argument(
        "--trial-seconds", type=positive, default=3, help="of each measurement (%(default)s)"
    )
    parser.add_argument(
        "--rounds", type=_rounds, default=5, help="of the confirmation, at least 3 (%(default)s)"
    )
    parser.add_argument("--no-write", action="store_true", help="change nothing in the repository")
    parser.add_argument(
        "--keep",
        type=int,
        default=KEPT_OLD_VERSIONS,
        help="old versions to keep for `framewire rollback` (%(default)s)",
    )
    parser.add_argument(
        "--out", type=Path, default=OUT, help="for the evidence of every run (%(default)s/NAME)"
    )
    parser.add_argument("--perf-analyzer", type=Path, metavar="PATH", help="the program itself")
    parser.set_defaults(run=run_tune)


def run_tune(arguments: argparse.Namespace) -> None:
    """Search, confirm, print, write the evidence and publish what is better.

    Raises:
        BuilderError: it cannot be measured, or nothing keeps the bound; nothing is published.
    """
    check_keep(arguments.keep)
    check_repository(arguments.repository)
    mend_repository(arguments.repository)
    manifest = measured_pipeline(arguments.repository, arguments.name)
    check_retunable(arguments.repository, manifest, precision=bool(arguments.precisions))
    space = search_space(
        manifest,
        len(os.sched_getaffinity(0)),
        instances=arguments.instances,
        decode_threads=arguments.decode_threads,
        max_batch=arguments.max_batch,
        allow_scaled=arguments.allow_scaled,
        precisions=arguments.precisions,
    )
    images = _calibration(arguments, manifest)
    measuring = _measuring(arguments, arguments.out / manifest.name)
    with ExitStack() as stack:
        stack.enter_context(sigterm_interrupts())
        int8 = None
        if images:
            tell(f"calibrating the network in int8 with {len(images)} images")
            folder = working_folder(stack)
            int8 = int8_of_version(arguments.repository, manifest, images, folder)
        tuning = _tune(arguments, manifest, measuring, space, int8)
        _finish(arguments, measuring, tuning, int8)


def _calibration(arguments: argparse.Namespace, manifest: Manifest) -> Sequence[Path]:
    """Return the images to quantise the network with; none where int8 is not to be tried."""
    if Precision.INT8 not in arguments.precisions or manifest.precision is Precision.INT8:
        return ()
    if not arguments.calibrate:
        raise TuningError(
            "int8 is calibrated with images like those that are to be served: name them with "
            "--calibrate IMAGES, or leave int8 out of --precisions"
        )
    check_calibration_installed()
    return calibration_files(arguments.calibrate)


def _finish(
    arguments: argparse.Namespace, measuring: Measuring, tuning: Tuning, int8: Path | None
) -> None:
    files = evidence_files(tuning)
    for name, text in files.items():
        (measuring.out / name).write_text(text)
    print(*evidence_lines(tuning), f"evidence: {measuring.out}", sep="\n", flush=True)
    if not tuning.keeps_bound:
        raise TuningError(
            f"nothing keeps p99 of {tuning.manifest.name} within {tuning.bound_ms:g} ms, the least "
            f"seen is {tuning.least_p99_ms:.1f} ms: nothing was changed, allow more with --p99-ms"
        )
    if tuning.changes and not arguments.no_write:
        _publish(arguments, tuning, files, int8)


def _measuring(arguments: argparse.Namespace, out: Path) -> Measuring:
    analyzer = find_perf_analyzer(arguments.perf_analyzer)
    images = jpeg_files(arguments.images)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TuningError(
            f"cannot write into {out} ({error.strerror}): choose another folder with --out"
        ) from error
    return Measuring(
        analyzer=analyzer,
        images=images,
        out=out,
        rounds=arguments.rounds,
        window_ms=max(1, arguments.trial_seconds * 1000 // WINDOWS),
        progress=tell,
    )


def _tune(
    arguments: argparse.Namespace,
    manifest: Manifest,
    measuring: Measuring,
    space: Space,
    int8: Path | None,
) -> Tuning:
    machine = describe_machine()
    names = model_names(manifest.name)
    variants = {ENSEMBLE: (names.ensemble,), BLS: (names.bls,), BOTH: (names.ensemble, names.bls)}
    with ExitStack() as stack:
        folder = working_folder(stack)
        bench = Bench(
            measuring=measuring,
            repository=arguments.repository,
            manifest=manifest,
            models=variants[arguments.variant],
            data=image_data(measuring.images, folder / "images.json"),
            folder=folder,
            bound_ms=arguments.p99_ms,
            most=arguments.max_concurrency,
            int8=int8,
        )
        found = search(present_choice(manifest), space, bench.attempt)
        same = found.best is found.present or found.best.score is None
        confirmation = None if same else bench.confirm(found.present, found.best)
    return Tuning(
        manifest=manifest,
        machine=machine,
        images=f"{len(measuring.images)} JPEGs: "
        + ", ".join(image.name for image in measuring.images),
        bound_ms=arguments.p99_ms,
        window_ms=measuring.window_ms,
        space=space,
        found=found,
        confirmation=confirmation,
    )


def _publish(
    arguments: argparse.Namespace, tuning: Tuning, files: Mapping[str, str], int8: Path | None
) -> None:
    name, choice = tuning.manifest.name, tuning.found.best.choice
    publish_choice(
        arguments.repository, tuning.manifest, choice, files, keep=arguments.keep, int8=int8
    )
    print(publication_line(arguments.repository, name))
    if choice.decoder is Decoder.SCALED and tuning.manifest.decoder is not Decoder.SCALED:
        print(
            "scaled decoding changes pixels: `framewire verify` shows what it costs, "
            f"`framewire rollback {name}` goes back"
        )
    if choice.precision is not tuning.manifest.precision:
        print(
            f"{choice.precision.value} moves boxes and scores: `framewire verify` shows what it "
            f"costs, `framewire rollback {name}` goes back"
        )
    if choice.max_batch < tuning.manifest.max_batch:
        print(f"requests of more than {choice.max_batch} images are refused from now on")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(","))


def _precisions(text: str) -> tuple[Precision, ...]:
    known = {each.value: each for each in TUNED_PRECISIONS}
    try:
        return tuple(known[each] for each in text.split(","))
    except KeyError as error:
        raise argparse.ArgumentTypeError(
            f"{error.args[0]!r} is none of {', '.join(known)}"
        ) from error


def _milliseconds(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"must be more than 0, got {text}")
    return value


def _rounds(text: str) -> int:
    value = int(text)
    if value < FEWEST_ROUNDS:
        raise argparse.ArgumentTypeError(f"must be at least {FEWEST_ROUNDS}, got {value}")
    return value
