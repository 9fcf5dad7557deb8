"""What each subcommand of ``framewire-client`` does; each returns whether every image was fine."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter

from thin_client.client import Detector
from thin_client.detections import Detections
from thin_client.drawing import annotate, write_annotated
from thin_client.dummy import dummy_image, summarize
from thin_client.errors import (
    DeadlineExceeded,
    FramewireError,
    InvalidRequestParameter,
    OutputUnwritable,
    RequestRefused,
    ServerFailed,
    ServerOverloaded,
    SourceUnreadable,
)
from thin_client.outputs import output_paths, refuse_overwriting
from thin_client.parameters import RequestParameters
from thin_client.pipelining import map_in_order
from thin_client.printing import (
    aspect_record,
    counts_text,
    detections_text,
    json_line,
    latency_text,
    report_text,
)
from thin_client.progress import Progress
from thin_client.sources import image_paths, read_image, shown_source
from thin_client.video import Frame, VideoReader, VideoWriter, encode_jpeg

__all__ = [
    "detect_in_images",
    "detect_in_video",
    "measure_with_dummies",
    "print_info",
]

# What may befall one image while the next is fine; anything else ends the command.
_ONE_IMAGE_FAILED = (
    DeadlineExceeded,
    OutputUnwritable,
    RequestRefused,
    ServerFailed,
    ServerOverloaded,
    SourceUnreadable,
)


def detect_in_images(
    detector: Detector,
    names: list[str],
    parameters: RequestParameters,
    *,
    json_lines: bool,
    out: str | None,
    in_flight: int,
) -> bool:
    """Print what is in image files, folders and globs; write annotated copies to ``out``."""
    paths = list(image_paths(names))
    pictures = output_paths(paths, out) if out else {}

    def detect_file(position: int) -> Detections:
        image = read_image(paths[position])
        detections = detector.detect(image, **parameters)
        if position in pictures:
            write_annotated(image, detections, pictures[position])
        return detections

    all_fine = True
    with (
        Progress(len(paths), shown=not sys.stdout.isatty()) as progress,
        contextlib.closing(map_in_order(detect_file, range(len(paths)), in_flight)) as results,
    ):
        for position, future in results:
            try:
                detections = future.result()
            except InvalidRequestParameter:
                raise
            except _ONE_IMAGE_FAILED as error:
                all_fine = False
                _print_failure({"file": shown_source(paths[position])}, error, json_lines)
            else:
                if json_lines:
                    _print(json_line({"file": paths[position], **detections.to_dict()}))
                else:
                    _print(detections_text(paths[position], detections))
            progress.advance()
    return all_fine


def detect_in_video(
    detector: Detector,
    source: str | int,
    parameters: RequestParameters,
    *,
    json_lines: bool,
    out: str | None,
    in_flight: int,
    fps: float | None,
    frames: int | None,
    quality: int,
) -> bool:
    """Print what is in the frames of a video or camera; write an annotated video to ``out``."""
    is_camera = isinstance(source, int)
    name = shown_source(source) if isinstance(source, str) else source
    frame_lines = json_lines or is_camera

    def detect_frame(frame: Frame) -> Detections:
        return detector.detect(encode_jpeg(frame.pixels_bgr, quality), **parameters)

    all_fine, done, started = True, 0, time.monotonic()
    counts: Counter[str] = Counter()
    if out and not is_camera:
        refuse_overwriting(str(source), out)
    with contextlib.ExitStack() as open_things:
        reader = open_things.enter_context(VideoReader(source, fps))
        writer = open_things.enter_context(VideoWriter(out, fps or reader.fps)) if out else None
        total = frames if reader.frame_count is None else min(reader.frame_count, frames or 10**9)
        shown = not (frame_lines and sys.stdout.isatty())
        progress = open_things.enter_context(Progress(total, shown))
        results = open_things.enter_context(
            contextlib.closing(map_in_order(detect_frame, reader.frames(frames), in_flight))
        )
        for frame, future in results:
            place: dict[str, str | int] = {
                "camera" if is_camera else "file": name,
                "frame": frame.index,
            }
            picture = frame.pixels_bgr
            try:
                detections = future.result()
            except InvalidRequestParameter:
                raise
            except _ONE_IMAGE_FAILED as error:
                all_fine = False
                _print_failure(place, error, json_lines)
            else:
                found = Counter(detections.labels)
                counts += found
                if json_lines:
                    aspect = aspect_record(reader.sample_aspect_ratio)
                    _print(json_line({**place, **aspect, **detections.to_dict()}))
                elif frame_lines:
                    _print(f"frame {frame.index}: {counts_text(found)}")
                if writer:
                    picture = annotate(picture, detections)
            if writer:
                # A frame that failed is kept as it is, so that the video keeps its length.
                writer.write(picture)
            done += 1
            progress.advance()
    if not json_lines:
        rate = done / max(time.monotonic() - started, 1e-9)
        _print(f"{name}: {done} frames, {rate:.1f} frames/s, {counts_text(counts)}")
    return all_fine


def measure_with_dummies(
    detector: Detector,
    parameters: RequestParameters,
    *,
    json_lines: bool,
    in_flight: int,
    count: int,
    size: tuple[int, int],
) -> bool:
    """Send generated images and print how fast they are answered."""
    image = dummy_image(*size)

    def timed(_: int) -> float:
        started = time.perf_counter()
        detector.detect(image, **parameters)
        return time.perf_counter() - started

    # Connecting and the first request, which finds cold caches, are not what is measured.
    timed(0)
    latencies_s, failures = [], 0
    started = time.perf_counter()
    with (
        Progress(count) as progress,
        contextlib.closing(map_in_order(timed, range(count), in_flight)) as results,
    ):
        for number, future in results:
            try:
                latencies_s.append(future.result())
            except _ONE_IMAGE_FAILED as error:
                failures += 1
                _print_failure({"dummy": number}, error, json_lines=False)
            progress.advance()
    if latencies_s:
        summary = summarize(latencies_s, time.perf_counter() - started)
        if json_lines:
            _print(json_line({**summary.to_dict(), "failures": failures}))
        else:
            _print(latency_text(summary))
    return failures == 0


def print_info(detector: Detector, *, json_lines: bool, to_stderr: bool = False) -> bool:
    """Print what the server says about itself, the pipeline and its work so far."""
    report = detector.report()
    text = json_line(report.to_dict()) if json_lines else report_text(report)
    print(text, file=sys.stderr if to_stderr else sys.stdout, flush=True)
    return True


def _print_failure(place: dict[str, str | int], error: FramewireError, json_lines: bool) -> None:
    if json_lines:
        _print(json_line({**place, "error": str(error)}))
    else:
        name = ", ".join(str(v) if k == "file" else f"{k} {v}" for k, v in place.items())
        print(f"{name}: {error}", file=sys.stderr, flush=True)


def _print(line: str) -> None:
    # Flushed, so that whatever reads the other end of a pipe sees each result at once.
    print(line, flush=True)
