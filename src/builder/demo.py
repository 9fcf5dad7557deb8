"""The demo: the committed pipeline in a real Triton, one picture, boxes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder.errors import DemoError
from builder.serving.server import triton_server
from builder.serving.server_options import ServerOptions
from thin_client import Detections, Detector
from thin_client.contract import model_names
from thin_client.drawing import write_annotated
from thin_client.errors import FramewireError as ClientError
from thin_client.server_report import ModelStatistics

PIPELINE = "codes"
SAMPLE = Path("samples/warehouse.jpg")
PICTURE = Path("build/demo.png")
REQUESTS = 20


@dataclass(frozen=True)
class DemoOptions:
    """What the demo serves, sends and writes.

    Attributes:
        server: how to serve the repository.
        pipeline: the pipeline to call.
        image: the file to send.
        picture: where the annotated picture goes.
    """

    server: ServerOptions
    pipeline: str = PIPELINE
    image: Path = SAMPLE
    picture: Path = PICTURE


def run_demo(options: DemoOptions) -> Iterator[str]:
    """Serve, detect, draw, stop; yield what to print.

    Raises:
        BuilderError: with what to do about it.
    """
    try:
        encoded = options.image.read_bytes()
    except OSError as error:
        raise DemoError(
            f"cannot read {options.image} ({error.strerror}): run the demo in the root of a clone, "
            "or name a file with --image"
        ) from error
    with triton_server(options.server) as server:
        yield f"starting Triton over {options.server.repository} (pid {server.pid})"
        server.wait_until_ready()
        with _told_by_client(), Detector(server.grpc_url, options.pipeline) as detector:
            detections, latencies_ms = _detect(detector, encoded)
            models = detector.report().statistics
            yield from _table(options.image, len(encoded), detections)
            options.picture.parent.mkdir(parents=True, exist_ok=True)
            write_annotated(encoded, detections, options.picture)
            yield f"annotated picture: {options.picture}"
            yield _latency_line(latencies_ms, models)
    yield "Triton stopped"


def _detect(detector: Detector, encoded: bytes) -> tuple[Detections, list[float]]:
    # Connecting reads the pipeline's config; every request after that is in Triton's statistics.
    detector.connect()
    latencies_ms, answers = [], []
    for _ in range(REQUESTS):
        started = time.perf_counter()
        answers.append(detector.detect(encoded))
        latencies_ms.append((time.perf_counter() - started) * 1e3)
    return answers[-1], latencies_ms


@contextmanager
def _told_by_client() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise DemoError(str(error)) from error


def _table(image: Path, size: int, detections: Detections) -> Iterator[str]:
    yield (
        f"{image}: {detections.width}x{detections.height}, {size / 1000:.0f} kB sent, "
        f"{len(detections)} boxes"
    )
    yield f"  {'label':<14}{'score':>6}{'x1':>9}{'y1':>9}{'x2':>9}{'y2':>9}"
    for detection in detections:
        corners = "".join(f"{corner:9.1f}" for corner in detection.box_xyxy)
        yield f"  {detection.label:<14}{detection.score:6.2f}{corners}"


def _latency_line(latencies_ms: list[float], models: tuple[ModelStatistics, ...]) -> str:
    means_ms = {model.model: model.latency_ms or 0.0 for model in models}
    pipeline = models[0].model
    names = model_names(pipeline)
    return (
        f"client: {statistics.mean(latencies_ms):.1f} ms a request (mean of {len(latencies_ms)}), "
        f"{means_ms[pipeline]:.1f} of them in Triton: preprocess {means_ms[names.preprocess]:.1f}, "
        f"network {means_ms[names.network]:.1f}, postprocess {means_ms[names.postprocess]:.1f}"
    )
