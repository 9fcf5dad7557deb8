"""Pipelines in less than float32, built, proven and served by a real Triton."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.cli import main
from builder.pipelines.manifest import read_manifest
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings, Precision
from tests.conftest import ROOT
from tests.images import encoded
from tests.serving import serving
from tests.tiny_detector import coloured_square, save_tiny_detector
from thin_client import Detector

CODES = ROOT / "samples" / "code_detector" / "codes.onnx"
PICTURES = [str(ROOT / "samples" / name) for name in ("desk.jpg", "labels.jpg")]


def test_a_processor_without_bfloat16_serves_it_and_says_so_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OV_CPU_MAX_ISA", "AVX2")
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    settings = BuildSettings("tiny", precision=Precision.BF16)
    build_pipeline(model, tmp_path / "r", settings)
    with serving(tmp_path / "r", "--verbose") as server, Detector(server.url, "tiny") as client:
        found = client.detect(encoded(coloured_square("red", left=24, top=16), ".png"))
        assert [each.label for each in found] == ["red"]
        said = "tiny_network: this processor computes no bfloat16"
        assert said in server.error_text()


def test_int8_is_calibrated_proven_and_published(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    build = ["build", str(CODES), "--name", "codes", "--repository", str(tmp_path / "r")]
    options = ["--runtime", "python", "--precision", "int8", "--calibrate", *PICTURES]
    # On a machine that is busy with other tests the ratio may be anything.
    proof = ["--force", "--verify", *PICTURES, "--max-map-drop", "0.05"]
    assert main([*build, *options, *proof]) == 0
    said = capfd.readouterr().out
    assert "calibrating int8 with 2 images" in said
    assert "times as fast as in float32 on this machine" in said
    assert "640x640, int8, 2 images" in said
    assert read_manifest(tmp_path / "r", "codes").precision is Precision.INT8
