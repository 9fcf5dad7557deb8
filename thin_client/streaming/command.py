"""``framewire-client stream``: what was found, and how the stream is doing."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any, TypedDict

import numpy as np

from thin_client.client import Detector
from thin_client.contract import ImageStatus
from thin_client.detections import Detections
from thin_client.drawing import annotate
from thin_client.outputs import refuse_overwriting
from thin_client.parameters import RequestParameters
from thin_client.printing import aspect_record, counts_text, json_line
from thin_client.sources import shown_source
from thin_client.streaming.looks import TrackOptions
from thin_client.streaming.meter import StreamStatistics
from thin_client.streaming.stream import StreamResult, VideoStream
from thin_client.trails import Trails
from thin_client.video import VideoWriter

if sys.version_info >= (3, 11):
    from typing import Unpack
else:
    from typing_extensions import Unpack

__all__ = ["StreamOptions", "detect_in_stream", "first", "is_fine", "record"]

_TERMINAL_S, _LOG_S = 0.5, 5.0


class StreamOptions(TypedDict):
    """What ``Detector.video_stream`` takes besides thresholds."""

    codec: str
    quality: int | None
    max_side: int | None
    fps: float | None
    every_frame: bool
    in_flight: int
    give_up_s: float
    detect_fps: float | str | None
    tracking: TrackOptions
    rtsp_transport: str


def detect_in_stream(
    detector: Detector,
    source: str,
    parameters: RequestParameters,
    *,
    json_lines: bool,
    out: str | None,
    trails: bool,
    frames: int | None,
    **options: Unpack[StreamOptions],
) -> bool:
    """Print what is in the frames of a stream, and its numbers to stderr while it runs."""
    if out:
        refuse_overwriting(source, out)
    view = _View()
    counts: Counter[str] = Counter()
    all_fine = True
    with contextlib.ExitStack() as open_things:
        stream = open_things.enter_context(
            detector.video_stream(
                source, pictures=out is not None, say=view.say, **options, **parameters
            )
        )
        open_things.callback(view.wipe)
        writer = None
        if out:
            writer = open_things.enter_context(VideoWriter(out, stream.plan.fps))
        drawn = Trails() if trails else None
        for result in first(stream, frames):
            all_fine = all_fine and is_fine(result)
            counts += Counter(result.detections.labels)
            if json_lines:
                print(json_line(record(result, stream.sample_aspect_ratio)), flush=True)
            if writer and result.picture is not None:
                writer.write(_annotated(result, drawn))
            view.show(stream)
        statistics = stream.statistics(whole=True)
        if options["every_frame"] and statistics.dropped:
            all_fine = False
            view.say(_lost(source, statistics))
    if json_lines:
        print(json_line({"statistics": statistics.to_dict()}), flush=True)
    else:
        print(f"{shown_source(source)}: {statistics.text()}, {counts_text(counts)}", flush=True)
    return all_fine


def record(result: StreamResult, sample_aspect_ratio: Fraction) -> dict[str, Any]:
    """Return a result as JSON types; boxes in pixels of the upright source, as they are stored.

    Args:
        result: of a stream.
        sample_aspect_ratio: width to height of a pixel; only told where it is not square.
    """
    detections = _in_source_pixels(result)
    return {
        "timestamp_us": result.timestamp_us,
        "latency_ms": round(result.latency_s * 1e3, 1),
        **aspect_record(sample_aspect_ratio),
        "looked_at": result.looked_at,
        # That nobody looked is no error of the frame.
        **({} if detections.status is ImageStatus.NOT_LOOKED_AT else detections.to_dict()),
    }


def is_fine(result: StreamResult) -> bool:
    """Return whether a frame got all that was asked for; one that nobody looked at did."""
    found = result.detections
    return found.ok or found.status is ImageStatus.NOT_LOOKED_AT


def _lost(source: str, statistics: StreamStatistics) -> str:
    count = statistics.dropped
    frames = "1 frame" if count == 1 else f"{count} frames"
    return (
        f"{frames} of {shown_source(source)} did not come back, because they are damaged, or made"
        f" of frames that are missing; {statistics.frames} did"
    )


def _in_source_pixels(result: StreamResult) -> Detections:
    found = result.detections
    if result.scale == 1.0 or not found.ok:
        return found
    return replace(
        found,
        boxes_xyxy=found.boxes_xyxy * np.float32(result.scale),
        width=round(found.width * result.scale),
        height=round(found.height * result.scale),
    )


def _annotated(result: StreamResult, trails: Trails | None) -> Any:
    pixels = result.picture.to_ndarray(format="bgr24")
    found = _in_source_pixels(result)
    # A size rounded to even numbers and back may be a pixel off.
    found = replace(found, width=pixels.shape[1], height=pixels.shape[0])
    if trails is not None:
        trails.follow(found, result.timestamp_us)
    return annotate(pixels, found, trails)


def first(stream: VideoStream, frames: int | None) -> Iterator[StreamResult]:
    """Yield so many results of a stream, None: all."""
    for count, result in enumerate(stream, start=1):
        yield result
        if count == frames:
            return


class _View:
    """The stream's numbers on stderr: a line that changes on a terminal, else one now and then."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown = time.monotonic()

    def show(self, stream: VideoStream) -> None:
        now = time.monotonic()
        if now - self._shown < (_TERMINAL_S if self._terminal else _LOG_S):
            return
        self._shown = now
        text = stream.statistics().text()
        # To the line's start, the text, and clear what a longer text left behind.
        self._print(f"\r{text}\x1b[K" if self._terminal else f"{text}\n")

    def say(self, sentence: str) -> None:
        self.wipe()
        self._print(f"framewire-client: {sentence}\n")

    def wipe(self) -> None:
        if self._terminal:
            self._print("\r\x1b[K")

    @staticmethod
    def _print(text: str) -> None:
        print(text, end="", file=sys.stderr, flush=True)
