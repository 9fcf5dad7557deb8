"""``framewire build``."""

from __future__ import annotations

import argparse
import enum
from dataclasses import fields
from pathlib import Path

from builder.commands.options import Commands
from builder.repository import build_pipeline
from builder.settings import PREDICT_DEFAULTS, BuildSettings, Nms, Precision, Runtime


def add_build(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("build", help="make the five models of a pipeline")
    parser.add_argument("model", type=Path, help="an ONNX export of a detector")
    parser.add_argument(
        "--name", required=True, help="of the pipeline, and the ensemble's in Triton"
    )
    parser.add_argument(
        "--repository", type=Path, required=True, help="Triton model repository; made if missing"
    )
    parser.add_argument("--replace", action="store_true", help="replace models of the same names")
    for option, name, kind, text in (
        ("--conf", "conf", float, "default score threshold"),
        ("--iou", "iou", float, "default overlap threshold of NMS"),
        ("--max-detections", "max_det", int, "most detections of an image"),
    ):
        default = f"the model's own, else {getattr(PREDICT_DEFAULTS, name)}"
        parser.add_argument(option, dest=name, type=kind, help=f"{text} ({default})")
    for option, name, text in (
        ("--candidates", "candidates", "rows that leave the network"),
        ("--max-batch", "max_batch", "largest batch"),
        ("--max-image-bytes", "max_image_bytes", "a larger file is refused"),
        ("--max-image-pixels", "max_image_pixels", "an image with more pixels is refused"),
    ):
        parser.add_argument(
            option,
            dest=name,
            type=int,
            default=getattr(BuildSettings, name),
            help=f"{text} (%(default)s)",
        )
    for option, name, text in (
        ("--class-agnostic", "class_agnostic", "boxes of different classes suppress too"),
        ("--multi-label", "multi_label", "a box may be several detections of different classes"),
    ):
        parser.add_argument(
            option, dest=name, action=argparse.BooleanOptionalAction, default=None, help=text
        )
    choices: tuple[tuple[str, type[enum.Enum], str], ...] = (
        ("precision", Precision, "of the network"),
        ("runtime", Runtime, "what runs the network in Triton"),
        ("nms", Nms, "where overlapping boxes are suppressed"),
    )
    for name, choice, text in choices:
        parser.add_argument(
            f"--{name}",
            type=choice,
            default=getattr(BuildSettings, name),
            metavar="|".join(each.value for each in choice),
            help=f"{text} ({getattr(BuildSettings, name).value})",
        )
    parser.set_defaults(run=run_build)


def run_build(arguments: argparse.Namespace) -> None:
    """Build a pipeline and say what was built."""
    names = {field.name for field in fields(BuildSettings)}
    settings = BuildSettings(**{name: getattr(arguments, name) for name in names})
    spec = build_pipeline(
        arguments.model, arguments.repository, settings, replace=arguments.replace
    )
    detector = spec.detector
    print(
        f"built {settings.name} in {arguments.repository}: {detector.head.value} head, "
        f"{detector.width}x{detector.height}, {len(detector.labels)} classes, "
        f"batches up to {spec.max_batch}"
    )
