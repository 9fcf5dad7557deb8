from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from builder.benchmark import our_pipeline as ours
from builder.benchmark.comparison import Setup, Ultralytics
from builder.benchmark.perf_analyzer import PerfAnalyzer
from builder.benchmark.repositories import measured_pipeline
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings, Decoder, Precision
from tests.tiny_detector import save_tiny_detector, tiny_detector


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    return save_tiny_detector(tmp_path / "tiny.onnx")


def setup(detector: Path, folder: Path, *models: Path) -> Setup:
    """A comparison of a pipeline that was built with defaults, with some files at hand."""
    build_pipeline(detector, folder, BuildSettings("tiny"))
    return Setup(
        analyzer=PerfAnalyzer(Path("perf_analyzer")),
        images=(),
        out=folder,
        rounds=1,
        window_ms=1,
        repository=folder,
        manifest=measured_pipeline(folder, "tiny"),
        baselines=Path("benchmarks"),
        cores=1,
        ultralytics=Ultralytics(Path(sys.executable), models) if models else None,
    )


def test_with_its_detector_at_hand_the_pipeline_is_built_as_it_is_to_be_compared(
    detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"precision": Precision.FP32, "decoder": Decoder.SCALED}
    monkeypatch.setattr(ours, "OUR_SETTINGS", settings)
    other = save_tiny_detector(tmp_path / "other.onnx", tiny_detector(32, 32))
    found = ours.our_pipeline(setup(detector, tmp_path / "r", other, detector), tmp_path / "ours")
    assert found.detector == detector
    assert found.words == "tiny.onnx, built with --precision fp32, --decoder scaled"
    assert '"scaled"' in (found.repository / "tiny_preprocess/1/settings.json").read_text()


@pytest.mark.parametrize("at_hand", ["nothing", "a checkpoint", "another detector"])
def test_without_it_the_pipeline_is_the_repositorys_own(
    detector: Path, tmp_path: Path, at_hand: str
) -> None:
    models = []
    if at_hand == "a checkpoint":
        models.append(Path(shutil.copy(detector, tmp_path / "tiny.pt")))
    if at_hand == "another detector":
        models.append(save_tiny_detector(tmp_path / "other.onnx", tiny_detector(32, 32)))
    comparison = setup(detector, tmp_path / "r", *models)
    found = ours.our_pipeline(comparison, tmp_path / "ours")
    assert found.detector is None
    assert found.manifest == comparison.manifest
    assert (found.repository / "tiny_preprocess").is_symlink()
    assert found.words == f"tiny.onnx, as it is in {tmp_path / 'r'}"
