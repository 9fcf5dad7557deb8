"""A real Triton with the tiny pipeline, and a gateway before it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from tests import images
from tests.e2e.conftest import build_tiny
from tests.gateway.running import Gateway, gateway
from tests.serving import Serving, serving
from tests.tiny_detector import coloured_square, save_tiny_detector


@pytest.fixture(scope="session")
def tiny_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("behind_gateway")
    build_tiny(folder, folder / "repository")
    return folder / "repository"


@pytest.fixture(scope="session")
def triton(tiny_repository: Path) -> Iterator[Serving]:
    with serving(tiny_repository, "--no-supervise") as running:
        yield running


@pytest.fixture(scope="session")
def open_gateway(triton: Serving) -> Iterator[Gateway]:
    """One that lets everybody in, with the default limits."""
    with gateway(triton.url) as running:
        yield running


@pytest.fixture(scope="session")
def squares() -> dict[str, bytes]:
    """JPEGs with one object each, by the object's class."""
    return {colour: images.encoded(coloured_square(colour)) for colour in ("red", "green", "blue")}


@pytest.fixture(scope="session")
def video_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pipeline with streams, two at a time."""
    folder = tmp_path_factory.mktemp("video_behind_gateway")
    model = save_tiny_detector(folder / "tiny.onnx")
    build_pipeline(model, folder / "repository", BuildSettings("tiny", stream=True, max_streams=2))
    return folder / "repository"


@pytest.fixture(scope="session")
def video_gateway(video_repository: Path) -> Iterator[Gateway]:
    with serving(video_repository, "--no-supervise") as triton, gateway(triton.url) as running:
        yield running
