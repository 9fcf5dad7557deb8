"""Pipelines for the drill: the tiny detector, and one whose network only waits."""

from __future__ import annotations

from pathlib import Path

from builder.benchmark.repositories import stub_pipeline
from builder.pipelines.manifest import read_manifest
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings, Shape
from tests.conftest import ROOT
from tests.slowed import slow_down
from tests.tiny_detector import save_tiny_detector

NAME = "tiny"


def tiny_repository(
    folder: Path,
    *,
    stream: bool = False,
    max_image_bytes: int = 2**20,
    shape: Shape | None = None,
) -> Path:
    """Build the pipeline ``tiny``; its narrow limits make bombs of small files."""
    return _build(
        folder,
        BuildSettings(
            NAME,
            conf=0.1,
            stream=stream,
            max_image_bytes=max_image_bytes,
            max_image_pixels=10**6,
            shape=shape,
        ),
    )


def slow_repository(folder: Path, frame_s: float) -> Path:
    """Build ``tiny`` with streams and a network that waits before each frame it runs."""
    repository = _build(folder, BuildSettings(NAME, conf=0.1, stream=True))
    slow_down(repository, NAME, frame_s)
    return repository


def waiting_repository(
    folder: Path, *, delay_ms: float, max_batch: int, rows: int = 16, max_queue: int = 256
) -> Path:
    """Build ``tiny`` with a network that computes nothing and takes its time.

    Args:
        folder: to make it in.
        delay_ms: of every run of the network, whatever its batch.
        max_batch: images of such a run.
        rows: of an answer.
        max_queue: requests that wait at each step at most.
    """
    settings = BuildSettings(
        NAME,
        conf=0.1,
        max_batch=max_batch,
        candidates=rows,
        max_det=rows,
        instances=1,
        max_queue=max_queue,
    )
    repository = _build(folder, settings)
    return stub_pipeline(
        repository,
        read_manifest(repository, NAME),
        ROOT / "benchmarks",
        folder / "stub",
        delay_ms=delay_ms,
    )


def _build(folder: Path, settings: BuildSettings) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    build_pipeline(save_tiny_detector(folder / "tiny.onnx"), folder / "repository", settings)
    return folder / "repository"
