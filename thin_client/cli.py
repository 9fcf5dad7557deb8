"""``framewire-client``: parse, call one function, print; no logic.

Exit codes: 0 all fine; 1 an image or a frame failed or was lost; 2 wrong usage, or the server or
the pipeline cannot be used; 130 interrupted; 141 whoever read the output went away.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from thin_client.arguments import parser
from thin_client.connection import Connection
from thin_client.errors import FramewireError
from thin_client.parameters import RequestParameters
from thin_client.retry import RetryPolicy

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``framewire-client`` and return its exit code."""
    args = parser().parse_args(arguments)
    if args.verbose:
        logging.basicConfig(format="%(name)s: %(message)s")
        logging.getLogger("thin_client").setLevel(logging.DEBUG)
    else:
        # gRPC's core logs a failed handshake to stderr; the exception says it in words.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # File names need not be text that the terminal can show.
    for stream in (sys.stdout, sys.stderr):
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    try:
        return 0 if _run(args) else 1
    except FramewireError as error:
        print(f"framewire-client: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("framewire-client: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Python flushes stdout once more at exit, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _run(args: argparse.Namespace) -> bool:
    # gRPC loads here and no earlier: --help and a wrong option are answered at once.
    from thin_client import client, commands  # noqa: PLC0415

    connection = Connection(
        args.url,
        ssl=args.ssl,
        root_certificates=args.root_certificates,
        private_key=args.private_key,
        certificate_chain=args.certificate_chain,
        headers=dict(args.header),
    )
    retry = RetryPolicy(attempts=args.retries + 1)
    with client.Detector(
        connection, args.model, bls=args.bls, timeout_s=args.client_timeout, retry=retry
    ) as detector:
        if args.command == "info":
            return commands.print_info(detector, json_lines=args.json)
        if args.model_info:
            commands.print_info(detector, json_lines=False, to_stderr=True)
        parameters = RequestParameters(
            conf=args.conf,
            iou=args.iou,
            max_det=args.max_det,
            classes=args.classes,
            class_agnostic=args.class_agnostic,
            damaged=args.damaged,
        )
        if args.command == "image":
            return commands.detect_in_images(
                detector,
                args.files,
                parameters,
                json_lines=args.json,
                out=args.out,
                in_flight=args.in_flight,
            )
        if args.command == "dummy":
            return commands.measure_with_dummies(
                detector,
                parameters,
                json_lines=args.json,
                in_flight=args.in_flight,
                count=args.count,
                size=args.size,
            )
        if args.command == "stream":
            from thin_client.streaming.cli import stream  # noqa: PLC0415

            return stream(detector, args, parameters)
        return commands.detect_in_video(
            detector,
            args.source,
            parameters,
            json_lines=args.json,
            out=args.out,
            in_flight=args.in_flight,
            fps=args.fps,
            frames=args.frames,
            quality=args.quality,
        )


if __name__ == "__main__":
    sys.exit(main())
