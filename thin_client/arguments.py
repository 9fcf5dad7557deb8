"""The command line of ``framewire-client``; nothing here loads gRPC, so --help is quick."""

from __future__ import annotations

import argparse
import re

import thin_client
from thin_client.command_line import CommandLine
from thin_client.connection import DEFAULT_URL
from thin_client.contract import DamagedImages

__all__ = ["parser"]

_EXIT_CODES = """\
exit codes: 0 all fine; 1 an image or a frame failed or was lost; 2 wrong usage, or the server, the
pipeline, the video or the camera cannot be used; 130 interrupted; 141 whoever read the output went
away"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``framewire-client``; its namespace names the subcommand ``command``."""
    top: argparse.ArgumentParser = CommandLine(
        prog="framewire-client",
        description="Send encoded images to a Framewire pipeline and get boxes.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = f"framewire-client {thin_client.__version__}"
    top.add_argument("--version", action="version", version=version)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    image = _command(commands, "image", "detect in image files, folders and globs")
    image.add_argument("files", nargs="+", metavar="FILE", help="image file, folder or glob")
    image.add_argument(
        "--out",
        metavar="PATH",
        help="write annotated pictures: a file for one image, else a folder",
    )

    video = _command(commands, "video", "detect in a video file or stream")
    video.add_argument("source", metavar="FILE", help="video file, or a URL such as rtsp://...")
    _add_video_options(video, fps_help="frame rate of --out (default: the source's)")

    camera = _command(commands, "camera", "detect in a camera's frames until Ctrl-C")
    camera.add_argument("source", nargs="?", type=int, default=0, metavar="INDEX")
    _add_video_options(camera, fps_help="frame rate asked of the camera, and of --out")

    stream = _command(commands, "stream", "stream a video at a rate that the link carries")
    stream.add_argument(
        "source",
        nargs="*",
        metavar="[NAME=]SOURCE",
        help="video file, rtsp://..., or a camera: /dev/video0 or 0; several go over one"
        " connection, each under its name",
    )
    _add_stream_options(stream)

    dummy = _command(commands, "dummy", "send generated images, print latency and rate")
    dummy.add_argument("--count", type=_positive_int, default=100, help="images (default: 100)")
    dummy.add_argument(
        "--size", type=_size, default=(640, 480), metavar="WxH", help="pixels (default: 640x480)"
    )

    for command in (image, video, camera, dummy):
        _add_detection_options(command)
    _add_detection_options(stream, in_flight=16)

    _command(commands, "info", "print the pipeline's config, labels and statistics")
    return top


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    help_text: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=help_text,
        description=f"{help_text[0].upper()}{help_text[1:]}.",
        epilog=_EXIT_CODES,
    )
    command.add_argument("--json", action="store_true", help="print JSON lines")
    server = command.add_argument_group("server")
    server.add_argument(
        "--url",
        default=DEFAULT_URL,
        help="host:port of Triton's gRPC endpoint, dns:///name:port or ipv4:a:port,b:port"
        f" (default: {DEFAULT_URL})",
    )
    server.add_argument("--model", metavar="NAME", help="pipeline (default: the server's only one)")
    server.add_argument("--bls", action="store_true", help="call the pipeline's variant NAME_bls")
    server.add_argument(
        "--client-timeout",
        type=_positive_float,
        default=30.0,
        metavar="SECONDS",
        help="deadline of a request with its retries (default: 30)",
    )
    server.add_argument(
        "--retries", type=_count, default=4, help="when the server is busy or away (default: 4)"
    )
    server.add_argument("--ssl", action="store_true", help="use TLS")
    server.add_argument("--root-certificates", metavar="PEM", help="vouch for the server")
    server.add_argument("--private-key", metavar="PEM", help="this client's key, for mutual TLS")
    server.add_argument("--certificate-chain", metavar="PEM", help="this client's certificates")
    server.add_argument(
        "--header",
        action="append",
        type=_header,
        default=[],
        metavar="NAME=VALUE",
        help="send this with every call, as a token; may be given several times",
    )
    server.add_argument("--model-info", action="store_true", help="first print info to stderr")
    server.add_argument("--verbose", action="store_true", help="log retries and gRPC to stderr")
    return command


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        # What was given instead may be a token.
        raise argparse.ArgumentTypeError("must be NAME=VALUE")
    return name.lower(), value


def _add_detection_options(command: argparse.ArgumentParser, in_flight: int = 4) -> None:
    group = command.add_argument_group("detection", "default to what the pipeline was built with")
    group.add_argument("--conf", type=float, help="lowest score that counts, 0 to 1")
    group.add_argument("--iou", type=float, help="overlap from which two boxes are one, 0 to 1")
    group.add_argument("--max-det", type=int, help="most detections per image")
    group.add_argument(
        "--classes", type=_names, metavar="A,B", help="the only classes to report, names or numbers"
    )
    group.add_argument(
        "--class-agnostic",
        action=argparse.BooleanOptionalAction,
        help="boxes of different classes suppress each other",
    )
    group.add_argument(
        "--damaged",
        choices=[each.value for each in DamagedImages],
        help="whether what could be decoded of a damaged JPEG is looked at",
    )
    group.add_argument(
        "--in-flight",
        type=_positive_int,
        default=in_flight,
        help="most requests at a time (default: %(default)s)",
    )


def _add_video_options(command: argparse.ArgumentParser, fps_help: str) -> None:
    command.add_argument("--out", metavar="PATH", help="write an annotated video: .mp4, .avi, ...")
    command.add_argument("--fps", type=_positive_float, help=fps_help)
    command.add_argument("--frames", type=_positive_int, help="stop after so many frames")
    command.add_argument(
        "--quality", type=_quality, default=90, help="of the JPEGs that are sent (default: 90)"
    )


def _add_stream_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--codec",
        choices=("auto", "h264", "h265", "jpeg"),
        default="auto",
        help="what is sent (default: auto, what the link carries best; a source's own H.264 and"
        " H.265 pass as they are)",
    )
    command.add_argument("--quality", type=_quality, help="of JPEGs (default: for the link)")
    command.add_argument(
        "--max-side", type=_positive_int, metavar="PIXELS", help="longest side that is sent"
    )
    command.add_argument("--fps", type=_positive_float, help="most frames per second")
    command.add_argument(
        "--detect-fps",
        type=_detect_fps,
        metavar="N",
        help="frames a second that the network looks at, the tracker answers for the others: a"
        " number, auto (as many as it has room for) or all (default: auto of live sources, where"
        " the pipeline can, else all)",
    )
    for name, (kind, metavar, what) in _TRACK_OPTIONS.items():
        command.add_argument(
            f"--{name.replace('_', '-')}",
            type=kind,
            metavar=metavar,
            help=f"of the tracker: {what} (default: the pipeline's)",
        )
    command.add_argument(
        "--trails", action="store_true", help="draw into --out where each object has been lately"
    )
    command.add_argument(
        "--rtsp-transport",
        choices=("auto", "tcp", "udp"),
        default="auto",
        help="how RTSP cameras send (default: auto, UDP where there is no TCP)",
    )
    command.add_argument(
        "--sources",
        metavar="FILE",
        help="a source a line, watched for changes; - for lines 'add SOURCE' and 'remove SOURCE' on"
        " standard input",
    )
    command.add_argument(
        "--metrics-port",
        type=_port,
        metavar="PORT",
        help="serve the state of each source on 127.0.0.1, for Prometheus",
    )
    command.add_argument(
        "--every-frame",
        action="store_true",
        help="of a file: drop nothing, however long it takes; what is lost all the same is said",
    )
    command.add_argument("--frames", type=_positive_int, help="stop after so many frames")
    command.add_argument("--out", metavar="PATH", help="write an annotated video: .mp4, .avi, ...")
    command.add_argument(
        "--give-up",
        type=_positive_float,
        default=300.0,
        metavar="SECONDS",
        help="how long the server may be away (default: 300)",
    )


def _detect_fps(text: str) -> float | str:
    return text if text in ("auto", "all") else _positive_float(text)


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value < 1 << 16:
        raise argparse.ArgumentTypeError(f"{text} is no port")
    return value


def _positive_float(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value


def _quality(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to 100")
    return value


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT, for example 640x480")
    return int(match[1]), int(match[2])


def _score(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return value


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


# Of the server's tracker: type, what is written, and what it means.
_TRACK_OPTIONS = {
    "track_high": (_score, "SCORE", "lowest score of the first stage of association, 0 to 1"),
    "track_low": (_score, "SCORE", "of the second stage"),
    "track_buffer": (_count, "FRAMES", "how long a lost track may be found again"),
    "min_hits": (_positive_int, "N", "looks that must have found a track before it is shown"),
}
