"""One real Triton for all end-to-end tests: the demo pipeline and a second one beside it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from tests.conftest import ROOT
from tests.serving import Serving, serving
from tests.tiny_detector import save_tiny_detector


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("served")
    repository = folder / "repository"
    shutil.copytree(ROOT / "model_repository", repository)
    (repository / "README.md").unlink(missing_ok=True)
    build_tiny(folder, repository)
    # Tests count what it answers, and nobody else is to ask.
    with serving(repository, "--no-supervise") as running:
        yield running


@pytest.fixture(scope="session")
def tiny_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that loads in a moment, for tests of the server itself."""
    folder = tmp_path_factory.mktemp("tiny")
    build_tiny(folder, folder / "repository")
    return folder / "repository"


def build_tiny(folder: Path, repository: Path) -> None:
    model = save_tiny_detector(folder / "tiny.onnx")
    settings = BuildSettings("tiny", conf=0.5, max_image_bytes=2**20, max_image_pixels=10**6)
    build_pipeline(model, repository, settings)


@pytest.fixture(scope="session")
def streaming_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with streams; its detector lies beside it."""
    folder = tmp_path_factory.mktemp("streaming")
    model = save_tiny_detector(folder / "tiny.onnx")
    build_pipeline(model, folder / "repository", BuildSettings("tiny", conf=0.5, stream=True))
    return folder / "repository"
