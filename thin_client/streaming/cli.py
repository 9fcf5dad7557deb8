"""From the command line of ``framewire-client stream`` to one source or many."""

from __future__ import annotations

import argparse

from thin_client.client import Detector
from thin_client.contract import TRACK_PARAMETERS
from thin_client.errors import SourceUnreadable
from thin_client.parameters import RequestParameters
from thin_client.streaming.command import StreamOptions, detect_in_stream
from thin_client.streaming.looks import TrackOptions

__all__ = ["stream"]


def stream(detector: Detector, args: argparse.Namespace, parameters: RequestParameters) -> bool:
    """Run ``framewire-client stream``; return whether all was fine.

    Raises:
        FramewireError: it cannot be done.
    """
    options = StreamOptions(
        codec=args.codec,
        quality=args.quality,
        max_side=args.max_side,
        fps=args.fps,
        every_frame=args.every_frame,
        in_flight=args.in_flight,
        give_up_s=args.give_up,
        detect_fps=args.detect_fps,
        tracking=TrackOptions(**{name: getattr(args, name) for name in TRACK_PARAMETERS}),  # type: ignore[typeddict-item]
        rtsp_transport=args.rtsp_transport,
    )
    if len(args.source) != 1 or args.sources or args.metrics_port is not None:
        if not args.source and not args.sources:
            raise SourceUnreadable(
                "there is nothing to stream: name a source, or a file (--sources)"
            )
        from thin_client.streaming.many.command import detect_in_streams  # noqa: PLC0415

        return detect_in_streams(
            detector,
            args.source,
            parameters,
            json_lines=args.json,
            out=args.out,
            trails=args.trails,
            frames=args.frames,
            sources_from=args.sources,
            metrics_port=args.metrics_port,
            options=options,
        )
    return detect_in_stream(
        detector,
        args.source[0],
        parameters,
        json_lines=args.json,
        out=args.out,
        trails=args.trails,
        frames=args.frames,
        **options,
    )
