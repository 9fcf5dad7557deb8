"""``framewire build``."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path

import onnx

from builder.commands.build_options import (
    add_pipeline_options,
    add_reading_options,
    settings_of,
)
from builder.commands.load import connections, load_everywhere
from builder.commands.options import Commands
from builder.detectors.detector import Detector, read_detector
from builder.detectors.frame_shapes import framing_of
from builder.detectors.labels import read_labels
from builder.detectors.source_model import onnx_of
from builder.errors import SettingsError
from builder.pipelines.pipeline_spec import PipelineSpec
from builder.pipelines.repository import build_pipeline
from builder.pipelines.version_changes import KEPT_OLD_VERSIONS
from builder.pipelines.versions import gap_line, kept_versions, publication_line
from builder.precision.calibration import (
    calibration_files,
    check_calibration_installed,
    int8_network,
)
from builder.precision.speed_gate import FOR_SPEED, speed_gate
from builder.settings import BuildSettings, Precision, Runtime
from builder.trial.trial_report import batch_line, trial_line
from builder.verification.approval import DEFAULT_MAX_MAP_DROP, approval
from builder.verification.report import report_lines

Approve = Callable[[Path, PipelineSpec], None]
Quantize = Callable[[onnx.ModelProto, PipelineSpec], onnx.ModelProto]


def add_build(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("build", help="make the models of a pipeline")
    add_reading_options(parser)
    parser.add_argument(
        "--name", required=True, help="of the pipeline, and the ensemble's in Triton"
    )
    parser.add_argument(
        "--repository", type=Path, required=True, help="Triton model repository; made if missing"
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="begin anew with version 1, in place of whatever has these names",
    )
    parser.add_argument(
        "--keep",
        type=int,
        default=KEPT_OLD_VERSIONS,
        help="old versions to keep for `framewire rollback` (%(default)s)",
    )
    parser.add_argument(
        "--url",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="then have this server take it, as `framewire load` does; may be given several times",
    )
    add_pipeline_options(parser)
    proof = parser.add_argument_group("proof", "publish only what finds what the detector finds")
    proof.add_argument(
        "--verify", nargs="+", metavar="IMAGES", help="files, folders or patterns to compare with"
    )
    proof.add_argument(
        "--ground-truth",
        type=Path,
        metavar="PATH",
        help="labels of the images: a folder of YOLO .txt files or a COCO .json",
    )
    proof.add_argument(
        "--max-map-drop",
        type=float,
        metavar="DROP",
        help=f"what may be lost of mAP50 and of mAP50-95 ({DEFAULT_MAX_MAP_DROP})",
    )
    proof.add_argument(
        "--force",
        action="store_true",
        help="with --precision bf16 or int8: publish also what is slower than float32 on "
        "this machine, or cannot be measured on it",
    )
    parser.set_defaults(run=run_build)


def run_build(arguments: argparse.Namespace) -> None:
    """Build a pipeline, or one for each precision, and say what was built."""
    if not arguments.verify and (arguments.ground_truth or arguments.max_map_drop is not None):
        raise SettingsError(
            "--ground-truth and --max-map-drop compare the pipeline with its detector on images: "
            "name these with --verify IMAGES"
        )
    wanted = settings_of(arguments)
    if arguments.calibrate and all(each.precision is not Precision.INT8 for each in wanted):
        raise SettingsError("--calibrate is for --precision int8: add that, or leave it out")
    labels = read_labels(arguments.labels) if arguments.labels else None
    with onnx_of(
        arguments.model, arguments.size, arguments.head, trust_pickle=arguments.trust_pickle
    ) as model_file:
        detector = read_detector(
            model_file,
            head=arguments.head,
            size=arguments.size,
            labels=labels,
            number_classes=arguments.number_classes,
        )
        for settings in wanted:
            _build(arguments, model_file, detector, settings)
    for settings in wanted:
        load_everywhere(arguments.repository, settings.name, connections(arguments.url))


def _build(
    arguments: argparse.Namespace, model_file: Path, detector: Detector, settings: BuildSettings
) -> None:
    spec = build_pipeline(
        model_file,
        arguments.repository,
        settings,
        detector=detector,
        source=Path(arguments.model),
        replace=arguments.replace,
        keep=arguments.keep,
        quantize=_quantization(arguments) if settings.precision is Precision.INT8 else None,
        approve=_approval(arguments, model_file, settings),
    )
    print(
        f"built {settings.name} in {arguments.repository}: version {spec.version}, "
        f"{detector.head.value} head, {detector.width}x{detector.height} {spec.shape.value}, "
        f"{len(detector.labels)} classes, {spec.settings.precision.value}, batches up to "
        f"{spec.max_batch}",
        flush=True,
    )
    _tell_of_trial(spec)
    if spec.settings.precision in FOR_SPEED and not arguments.verify:
        print(
            f"what {spec.settings.precision.value} loses of what the detector finds was not "
            f"measured: add --verify IMAGES, or run `framewire verify "
            f"{shlex.quote(str(arguments.model))} IMAGES "
            f"--repository {shlex.quote(str(arguments.repository))} --name {settings.name}`",
            flush=True,
        )
    if spec.version > 1:
        _tell_of_old_version(arguments, settings.name, spec.version)
    if settings.runtime is Runtime.TENSORRT:
        print(
            f"it has no plan yet: run `framewire engine --repository "
            f"{shlex.quote(str(arguments.repository))} --name {settings.name}` in the image and on "
            "the GPU that serve it, before they do",
            flush=True,
        )


def _tell_of_trial(spec: PipelineSpec) -> None:
    trial, settings = spec.trial, spec.settings
    if trial is None:
        return
    print(f"tried: {trial_line(trial, settings.conf or 0)}", flush=True)
    limit = batch_line(trial)
    if limit and settings.runtime is not Runtime.PYTHON:
        print(limit, flush=True)


def _tell_of_old_version(arguments: argparse.Namespace, name: str, version: int) -> None:
    if not arguments.url:
        print(publication_line(arguments.repository, name), flush=True)
        return
    kept = [each for each in kept_versions(arguments.repository, name) if each < version]
    gap = gap_line(arguments.repository, name, kept[-1], version) if kept else None
    if gap:
        print(gap, flush=True)


def _quantization(arguments: argparse.Namespace) -> Quantize | None:
    if not arguments.calibrate:
        return None
    check_calibration_installed()
    files = calibration_files(arguments.calibrate)

    def quantize(network: onnx.ModelProto, spec: PipelineSpec) -> onnx.ModelProto:
        print(f"calibrating int8 with {len(files)} images", flush=True)
        framing = framing_of(spec.detector, spec.shape)
        return int8_network(network, files, framing, spec.settings.runtime)

    return quantize


def _approval(arguments: argparse.Namespace, model_file: Path, settings: BuildSettings) -> Approve:
    checks: list[Approve] = []
    if settings.precision in FOR_SPEED:
        checks.append(speed_gate(force=arguments.force, tell=partial(print, flush=True)))
    if arguments.verify:
        drop = arguments.max_map_drop
        found = approval(
            model_file,
            arguments.verify,
            ground_truth=arguments.ground_truth,
            max_map_drop=DEFAULT_MAX_MAP_DROP if drop is None else drop,
            tell=lambda verification: print(*report_lines(verification), sep="\n", flush=True),
        )
        checks.append(found)

    def approve(staged: Path, spec: PipelineSpec) -> None:
        for check in checks:
            check(staged, spec)

    return approve
