"""Two networks timed by turns, with the code that serves them."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import PrecisionError
from builder.pipelines.repository import build_pipeline
from builder.precision.network_speed import measure_speed
from builder.settings import BuildSettings, Precision, Shape
from tests.tiny_detector import save_tiny_detector, tiny_detector


def network(folder: Path, size: int) -> Path:
    """The folder of a network step for frames of this size."""
    model = save_tiny_detector(folder / "tiny.onnx", tiny_detector(size, size))
    settings = BuildSettings("tiny", shape=Shape.SQUARE)
    build_pipeline(model, folder / "r", settings, replace=True)
    return folder / "r" / "tiny_network" / "1"


def test_a_ratio_for_each_round_is_of_the_candidate_over_float32(tmp_path: Path) -> None:
    for name in ("small", "large"):
        (tmp_path / name).mkdir()
    small = network(tmp_path / "small", 64)
    large = network(tmp_path / "large", 1280)
    # Of 400 times as many pixels, so which is which shows on any machine.
    slower = measure_speed(
        small, (large / "model.onnx", Precision.FP32), small / "model.onnx", rounds=3
    )
    faster = measure_speed(
        small, (small / "model.onnx", Precision.FP32), large / "model.onnx", rounds=2
    )
    assert slower.high < 1 < faster.low
    assert (slower.rounds, faster.rounds) == (3, 2)


def test_a_processor_without_bfloat16_measures_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OV_CPU_MAX_ISA", "AVX2")
    folder = network(tmp_path, 64)
    file = folder / "model.onnx"
    with pytest.raises(PrecisionError, match=r"computes no bfloat16 .* or publish it .*--force"):
        measure_speed(folder, (file, Precision.BF16), file)


def test_a_network_that_does_not_run_is_a_sentence(tmp_path: Path) -> None:
    folder = network(tmp_path, 64)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no network")
    with pytest.raises(PrecisionError, match="in bf16 could not be measured against float32"):
        measure_speed(folder, (broken, Precision.BF16), folder / "model.onnx")
