"""The options of ``framewire build`` and what they say."""

from __future__ import annotations

import argparse
import enum
import re
from dataclasses import fields
from pathlib import Path

from builder.detectors.heads import Head, known_layouts
from builder.detectors.source_model import TRUST_OPTION
from builder.errors import SettingsError
from builder.pipelines.runtime_choice import choose_runtime
from builder.settings import (
    PREDICT_DEFAULTS,
    BuildSettings,
    Decoder,
    ExecutionProvider,
    Nms,
    Precision,
    Runtime,
    Shape,
    Track,
)
from thin_client.contract import DamagedImages

SIZE = re.compile(r"(\d{1,5})(?:x(\d{1,5}))?", re.ASCII)
AUTO, BOTH = "auto", "both"


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add what decides how the model file is read."""
    parser.add_argument(
        "model", help="a .pt (through ultralytics, also by name: yolo11n.pt) or an .onnx"
    )
    parser.add_argument(
        "--head",
        type=_choice(Head),
        metavar="|".join(head.value for head in Head),
        help=f"how to read the outputs, when they are misread: {known_layouts()}",
    )
    parser.add_argument(
        "--size",
        type=_size,
        metavar="PIXELS|WIDTHxHEIGHT",
        help="of the input, where the model leaves it open (what its metadata say)",
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="class names, one to a line or a data.yaml (those in the model)",
    )
    parser.add_argument(
        "--number-classes",
        action="store_true",
        help="call the classes class_0, class_1, ... where nobody names them",
    )
    add_trust_option(parser)


def add_trust_option(parser: argparse.ArgumentParser) -> None:
    """Add what lets a checkpoint be loaded."""
    parser.add_argument(
        TRUST_OPTION,
        action="store_true",
        help="load a .pt, which is a pickle: loading it runs the code that it carries",
    )


def add_pipeline_options(parser: argparse.ArgumentParser) -> None:
    """Add what becomes :class:`BuildSettings`."""
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
        ("--instances", "instances", "processes that decode, of each variant"),
        ("--decode-threads", "decode_threads", "of each of them, 0 for its share of the cores"),
        ("--max-queue", "max_queue", "requests that wait for each variant; one more is refused"),
        ("--queue-timeout-ms", "queue_timeout_ms", "that one waits at most; then it is refused"),
        ("--max-image-bytes", "max_image_bytes", "a larger file is refused"),
        ("--max-image-pixels", "max_image_pixels", "an image with more pixels is refused"),
        ("--max-streams", "max_streams", "with --stream: streams open at once"),
        ("--max-stream-pixels", "max_stream_pixels", "with --stream: larger frames are refused"),
        ("--max-packet-bytes", "max_packet_bytes", "with --stream: a larger packet is refused"),
        ("--max-stream-memory", "max_stream_memory", "with --stream: bytes of all decoders"),
    ):
        parser.add_argument(
            option,
            dest=name,
            type=int,
            default=getattr(BuildSettings, name),
            help=f"{text} (%(default)s)",
        )
    parser.add_argument(
        "--stream", action="store_true", help="take H.264, H.265 and MJPEG packets too: NAME_stream"
    )
    parser.add_argument(
        "--stream-idle",
        dest="stream_idle_s",
        type=float,
        default=BuildSettings.stream_idle_s,
        metavar="SECONDS",
        help="with --stream: a stream without packets for longer is closed (%(default)g)",
    )
    parser.add_argument(
        "--track",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="with --stream: track every stream, or none (those that ask for it)",
    )
    parser.add_argument(
        "--stream-share",
        dest="stream_share",
        type=float,
        default=BuildSettings.stream_share,
        metavar="SHARE",
        help="with --stream: of the network's time that streams have while pictures wait too, "
        "0.05 to 0.95 (%(default)g)",
    )
    for option, name, text in (
        ("--class-agnostic", "class_agnostic", "boxes of different classes suppress too"),
        ("--multi-label", "multi_label", "a box may be several detections of different classes"),
    ):
        parser.add_argument(
            option, dest=name, action=argparse.BooleanOptionalAction, default=None, help=text
        )
    _add_choice(parser, "nms", Nms, "where overlapping boxes are suppressed")
    _add_choice(
        parser,
        "decoder",
        Decoder,
        "of JPEGs at least twice as large as the input: every pixel, or fewer and faster",
    )
    _add_choice(
        parser,
        "damaged",
        DamagedImages,
        "what becomes of damaged JPEGs; accepted, what could be decoded is looked at",
    )
    parser.add_argument(
        "--shape",
        type=_choice(Shape),
        metavar="|".join(each.value for each in Shape),
        help="of frames: the smallest rectangle for each picture, or all of them whole (as the "
        "detector's own tool has it: rect for ultralytics' YOLO where the network takes it)",
    )
    _add_choice(parser, "execution_provider", ExecutionProvider, "of --runtime onnxruntime")
    parser.add_argument(
        "--precision",
        choices=[*(each.value for each in Precision), BOTH],
        default=Precision.FP32.value,
        help="of the network's layers; both makes NAME and NAME_fp16; bf16 takes --runtime python, "
        "int8 takes --calibrate; both are published only where they are faster than float32 "
        "(%(default)s)",
    )
    parser.add_argument(
        "--calibrate",
        nargs="+",
        metavar="IMAGES",
        help="with --precision int8: files, folders or patterns, some dozens like those to serve",
    )
    parser.add_argument(
        "--runtime",
        choices=[AUTO, *(each.value for each in Runtime)],
        default=AUTO,
        help="what runs the network in Triton; auto: what this machine has (%(default)s)",
    )


def settings_of(arguments: argparse.Namespace) -> list[BuildSettings]:
    """Return the settings of each pipeline that is to be built.

    Raises:
        SettingsError: a value is out of range.
    """
    named = {field.name for field in fields(BuildSettings)} - {"precision", "runtime"}
    given = {name: getattr(arguments, name) for name in named}
    given["track"] = {None: Track.ASKED, True: Track.ALL, False: Track.OFF}[arguments.track]
    if arguments.track and not arguments.stream:
        raise SettingsError("--track is for streams of video: add --stream, or leave it out")
    runtime = choose_runtime() if arguments.runtime == AUTO else Runtime(arguments.runtime)
    if arguments.precision != BOTH:
        return [BuildSettings(**given, precision=Precision(arguments.precision), runtime=runtime)]
    half = {**given, "name": f"{arguments.name}_{Precision.FP16.value}"}
    return [
        BuildSettings(**given, precision=Precision.FP32, runtime=runtime),
        BuildSettings(**half, precision=Precision.FP16, runtime=runtime),
    ]


def _add_choice(
    parser: argparse.ArgumentParser, name: str, choices: type[enum.Enum], text: str
) -> None:
    default = getattr(BuildSettings, name)
    parser.add_argument(
        f"--{name.replace('_', '-')}",
        type=_choice(choices),
        default=default,
        metavar="|".join(str(each.value) for each in choices),
        help=f"{text} ({default.value})",
    )


def _choice(choices: type[enum.Enum]):  # type: ignore[no-untyped-def] # argparse takes any callable
    def parse(text: str) -> enum.Enum:
        try:
            return choices(text)
        except ValueError as error:
            known = ", ".join(str(each.value) for each in choices)
            raise argparse.ArgumentTypeError(f"{text!r} is none of {known}") from error

    return parse


def _size(text: str) -> tuple[int, int]:
    match = SIZE.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size: give pixels, as 640, or width x height, as 640x384"
        )
    width = int(match[1])
    return width, int(match[2] or width)
