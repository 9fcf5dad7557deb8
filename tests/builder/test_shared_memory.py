from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from builder.pipelines.repository import build_pipeline
from builder.serving.shared_memory import SHM_DEFAULT_BYTES, shared_memory_shortage
from builder.settings import BuildSettings
from tests.tiny_detector import save_tiny_detector, tiny_detector

Usage = namedtuple("Usage", "total used free")


def build(tmp_path: Path, size: int, max_batch: int) -> Path:
    model = save_tiny_detector(tmp_path / "tiny.onnx", tiny_detector(size, size))
    build_pipeline(model, tmp_path / "r", BuildSettings("tiny", max_batch=max_batch))
    return tmp_path / "r"


def test_a_small_dev_shm_is_told_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = build(tmp_path, size=640, max_batch=64)
    frames = 64 * 640 * 640 * 3
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2 * frames, 0, 2 * frames))
    assert "--shm-size" in (shared_memory_shortage(repository) or "")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2**33, 0, 2**33))
    assert shared_memory_shortage(repository) is None


def test_every_process_of_a_python_model_needs_a_region(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = build(tmp_path, size=64, max_batch=1)
    # Two that preprocess, two of the BLS variant, one each for network and postprocess.
    for total, enough in ((6 * SHM_DEFAULT_BYTES, True), (6 * SHM_DEFAULT_BYTES - 1, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, total=total: Usage(total, 0, 0))
        assert (shared_memory_shortage(repository) is None) == enough
