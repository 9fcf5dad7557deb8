"""The ``framewire`` command: parse, call one function, print."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from builder import __version__
from builder.demo import REPOSITORY, DemoOptions, run_demo
from builder.errors import BuilderError
from builder.repository import build_pipeline
from builder.server import serve, sigterm_interrupts
from builder.server_options import ServerOptions
from builder.settings import BuildSettings


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command and its subcommands."""
    parser = argparse.ArgumentParser(prog="framewire", description="Detectors to Triton pipelines.")
    parser.add_argument("--version", action="version", version=f"framewire {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_build(commands)
    _add_serve(commands)
    _add_demo(commands)
    return parser


def _add_build(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    build = commands.add_parser("build", help="make the five models of a pipeline")
    build.add_argument("model", type=Path, help="an ONNX export of YOLOv8 or YOLO11")
    build.add_argument(
        "--name", required=True, help="of the pipeline, and the ensemble's in Triton"
    )
    build.add_argument(
        "--repository", type=Path, required=True, help="Triton model repository; made if missing"
    )
    build.add_argument("--replace", action="store_true", help="replace models of the same names")
    defaults = {field.name: field.default for field in fields(BuildSettings)}
    for option, name, kind, text in (
        ("--conf", "conf", float, "default score threshold"),
        ("--iou", "iou", float, "default overlap threshold of NMS"),
        ("--max-detections", "max_det", int, "most detections of an image"),
        ("--candidates", "candidates", int, "rows that leave the network"),
        ("--max-batch", "max_batch", int, "largest batch"),
        ("--max-image-bytes", "max_image_bytes", int, "a larger file is refused"),
        ("--max-image-pixels", "max_image_pixels", int, "an image with more pixels is refused"),
    ):
        build.add_argument(
            option, dest=name, type=kind, default=defaults[name], help=f"{text} (%(default)s)"
        )
    build.add_argument(
        "--class-agnostic", action="store_true", help="boxes of different classes suppress too"
    )
    build.set_defaults(run=run_build)


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    serve_command = commands.add_parser("serve", help="run the embedded Triton in the foreground")
    _add_repository_option(serve_command)
    serve_command.add_argument(
        "--address", default=ServerOptions.address, help="IPv4 address to listen on (%(default)s)"
    )
    _add_port_options(serve_command)
    serve_command.add_argument("--verbose", action="store_true", help="show all of Triton's log")
    serve_command.set_defaults(run=run_serve)


def _add_repository_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--repository", type=Path, default=REPOSITORY, help="to serve (%(default)s)"
    )


def _add_port_options(command: argparse.ArgumentParser) -> None:
    for purpose, port in ServerOptions(REPOSITORY).ports.items():
        command.add_argument(
            f"--{purpose}-port", type=int, default=port, help=f"of {purpose} (%(default)s)"
        )


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = commands.add_parser("demo", help="serve the demo pipeline and find codes in a picture")
    _add_repository_option(demo)
    demo.add_argument("--model", default=DemoOptions.pipeline, help="pipeline (%(default)s)")
    demo.add_argument("--image", type=Path, default=DemoOptions.image, help="to send (%(default)s)")
    demo.add_argument(
        "--out", type=Path, default=DemoOptions.picture, help="annotated picture (%(default)s)"
    )
    _add_port_options(demo)
    demo.set_defaults(run=run_demo_command)


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


def run_serve(arguments: argparse.Namespace) -> None:
    """Serve a repository until a signal comes."""
    serve(replace(_server_options(arguments), address=arguments.address, verbose=arguments.verbose))


def run_demo_command(arguments: argparse.Namespace) -> None:
    """Run the demo."""
    options = DemoOptions(
        server=_server_options(arguments),
        pipeline=arguments.model,
        image=arguments.image,
        picture=arguments.out,
    )
    with sigterm_interrupts():
        for line in run_demo(options):
            print(line, flush=True)


def _server_options(arguments: argparse.Namespace) -> ServerOptions:
    return ServerOptions(
        repository=arguments.repository,
        grpc_port=arguments.grpc_port,
        http_port=arguments.http_port,
        metrics_port=arguments.metrics_port,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when it did its job, 1 when it could not and said why, 130 interrupted."""
    arguments = build_parser().parse_args(argv)
    try:
        arguments.run(arguments)
        sys.stdout.flush()
    except BuilderError as error:
        print(f"framewire: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("framewire: interrupted", file=sys.stderr)
        return 130
    except OSError as error:
        # Whoever read the output is gone, or its disk is full. Python would try once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"framewire: cannot write the output: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
