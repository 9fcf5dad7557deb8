"""``framewire verify``."""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from pathlib import Path

from builder.commands.build_options import add_trust_option
from builder.commands.options import Commands, add_repository_option
from builder.detectors.detector import read_detector
from builder.detectors.heads import Head
from builder.detectors.onnx_file import sha256_of
from builder.detectors.source_model import onnx_of
from builder.errors import VerificationError
from builder.pipelines.config_parts import LABELS_FILE
from builder.pipelines.manifest import Manifest, pipelines, read_manifest
from builder.verification.comparison import BLS, ENSEMBLE, Verification, verify_pipeline
from builder.verification.ground_truth import check_ground_truth
from builder.verification.images import image_files
from builder.verification.optional import check_installed
from builder.verification.reference import Reference
from builder.verification.report import (
    check_max_map_drop,
    refuse_loss,
    report_json,
    report_lines,
)
from builder.verification.serving import served


def add_verify(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "verify", help="compare a served pipeline with the detector it was built from"
    )
    parser.add_argument("model", help="the file the pipeline was built from")
    parser.add_argument("images", nargs="+", help="files, folders or patterns")
    add_trust_option(parser)
    add_repository_option(parser, "that holds the pipeline")
    parser.add_argument("--name", help="of the pipeline (the repository's only one)")
    parser.add_argument(
        "--url",
        help="HOST:PORT of a server of this repository (one is started on free ports)",
    )
    parser.add_argument(
        "--ground-truth",
        type=Path,
        metavar="PATH",
        help="labels: a folder of YOLO .txt files or a COCO .json (YOLO files found as "
        "ultralytics finds them, else what the detector itself finds)",
    )
    parser.add_argument(
        "--max-map-drop",
        type=float,
        metavar="DROP",
        help="fail when mAP50 or mAP50-95 falls by more, for instance 0.005",
    )
    parser.add_argument("--both", action="store_true", help="also verify the BLS variant")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=run_verify)


def run_verify(arguments: argparse.Namespace) -> None:
    """Verify, print, and fail when more was lost than allowed."""
    check_installed()
    if arguments.max_map_drop is not None:
        check_max_map_drop(arguments.max_map_drop)
    check_ground_truth(arguments.ground_truth)
    verification = _verification(arguments)
    if arguments.json:
        print(json.dumps(report_json(verification), indent=1))
    else:
        print(*report_lines(verification), sep="\n")
    if arguments.max_map_drop is not None:
        refuse_loss(verification, arguments.max_map_drop)


def _verification(arguments: argparse.Namespace) -> Verification:
    repository: Path = arguments.repository
    name = arguments.name or _pipeline_of(repository, Path(arguments.model))
    manifest = read_manifest(repository, name)
    files = image_files(arguments.images)
    _check_same_file(Path(arguments.model), manifest)
    size = (manifest.width, manifest.height)
    with ExitStack() as stack:
        model_file = stack.enter_context(
            onnx_of(
                arguments.model,
                size,
                Head(manifest.head),
                trust_pickle=arguments.trust_pickle,
            )
        )
        # As the build read it, whatever it was told then.
        detector = read_detector(
            model_file,
            head=Head(manifest.head),
            size=size,
            labels=_labels(repository, manifest),
        )
        reference = Reference(model_file, detector, manifest.shape)
        url = arguments.url or stack.enter_context(
            served(repository, manifest.name, manifest.runtime)
        )
        return verify_pipeline(
            url,
            manifest,
            reference,
            files,
            labels=detector.labels,
            ground_truth=arguments.ground_truth,
            routes=(ENSEMBLE, BLS) if arguments.both else (ENSEMBLE,),
        )


def _pipeline_of(repository: Path, model: Path) -> str:
    """Return the only pipeline, or the only one that was built from this file."""
    found = pipelines(repository)
    if len(found) > 1 and model.is_file():
        digest = sha256_of(model)
        built = [name for name in found if read_manifest(repository, name).source_sha256 == digest]
        found = tuple(built) or found
    if len(found) != 1:
        raise VerificationError(
            f"{repository} has {len(found)} pipelines ({', '.join(found) or 'none'}): choose one "
            "with --name, or another --repository"
        )
    return found[0]


def _check_same_file(model: Path, manifest: Manifest) -> None:
    if model.is_file() and sha256_of(model) != manifest.source_sha256:
        raise VerificationError(
            f"{model.name} is not the file that {manifest.name} was built from "
            f"({manifest.source}, sha256 {manifest.source_sha256[:12]}...): give that file, or "
            "build the pipeline again"
        )


def _labels(repository: Path, manifest: Manifest) -> tuple[str, ...]:
    file = repository / manifest.name / str(manifest.version) / LABELS_FILE
    return tuple(file.read_text().splitlines())
