from __future__ import annotations

from pathlib import Path

import pytest

from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from tests.tiny_detector import save_tiny_detector


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A whole pipeline, tiny."""
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    build_pipeline(model, tmp_path / "models", BuildSettings("tiny"))
    return tmp_path / "models"
