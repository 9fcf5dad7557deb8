"""``framewire build --precision bf16``: what is published, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto

from builder.benchmark.sample import Ratio
from builder.cli import main
from builder.pipelines.manifest import pipelines, read_manifest
from builder.precision import network_speed, speed_gate
from builder.settings import Precision
from tests.tiny_detector import save_tiny_detector, tiny_detector


def build(tmp_path: Path, *options: str | onnx.ModelProto) -> int:
    """Build the first of the options, or the usual tiny detector, in bfloat16."""
    graphs = [each for each in options if isinstance(each, onnx.ModelProto)]
    options = tuple(each for each in options if isinstance(each, str))
    model = save_tiny_detector(tmp_path / "tiny.onnx", *graphs)
    return main(
        [
            *("build", str(model), "--name", "tiny", "--repository", str(tmp_path / "r")),
            *("--runtime", "python", "--precision", "bf16", *options),
        ]
    )


def settings_of(tmp_path: Path) -> dict[str, str]:
    """Return what the network's process reads."""
    file = tmp_path / "r" / "tiny_network" / "1" / "settings.json"
    settings: dict[str, str] = json.loads(file.read_text())
    return settings


def measured(monkeypatch: pytest.MonkeyPatch, gain: float) -> None:
    """Have the measurement come to this gain, whatever the machine."""
    found = Ratio(gain, gain - 0.125, gain + 0.125, 5)
    monkeypatch.setattr(speed_gate, "measure_speed", lambda *_: found)


def test_a_faster_network_is_published_and_the_ratio_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured(monkeypatch, 1.75)
    assert build(tmp_path) == 0
    said = capsys.readouterr().out
    assert (
        "the network in bf16 is 1.75 times as fast as in float32 on this machine (1.62 to 1.88 "
        "over 5 rounds by turns)"
    ) in said
    assert "what bf16 loses of what the detector finds was not measured: add --verify" in said
    assert read_manifest(tmp_path / "r", "tiny").precision is Precision.BF16
    assert settings_of(tmp_path)["precision"] == "bf16"


def test_a_slower_network_is_published_only_by_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured(monkeypatch, 0.9)
    assert build(tmp_path) == 1
    assert "bf16 is slower than float32 here: leave --precision bf16 out" in capsys.readouterr().err
    assert pipelines(tmp_path / "r") == ()
    assert build(tmp_path, "--force") == 0
    assert "0.90 times as fast" in capsys.readouterr().out
    assert pipelines(tmp_path / "r") == ("tiny",)


def test_a_processor_without_bfloat16_is_told_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OV_CPU_MAX_ISA", "AVX2")
    assert build(tmp_path) == 1
    assert "this processor computes no bfloat16" in capsys.readouterr().err
    assert pipelines(tmp_path / "r") == ()
    assert build(tmp_path, "--force") == 0
    assert "not measured: this processor computes no bfloat16" in capsys.readouterr().out
    assert pipelines(tmp_path / "r") == ("tiny",)


def test_where_nothing_can_be_measured_the_way_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(network_speed.importlib.util, "find_spec", lambda _name: None)
    assert build(tmp_path) == 1
    assert "pip install 'framewire[served]', or publish it unmeasured with --force" in (
        capsys.readouterr().err
    )
    assert build(tmp_path, "--force") == 0
    assert "not measured: this Python has no OpenVINO" in capsys.readouterr().out


@pytest.mark.parametrize("runtime", ["onnxruntime", "tensorrt"])
def test_other_runtimes_do_not_compute_in_bfloat16(
    tmp_path: Path, runtime: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(tmp_path, "--runtime", runtime) == 1
    assert f"and not for {runtime}: add --runtime python" in capsys.readouterr().err


def test_weights_in_float16_are_not_taken_for_float32(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = tiny_detector(element_type=TensorProto.FLOAT16)
    assert build(tmp_path, half) == 1
    assert "tiny.onnx has float16 weights, and --precision bf16" in capsys.readouterr().err
    assert build(tmp_path, half, "--precision", "fp16") == 0
    assert settings_of(tmp_path)["precision"] == "fp16"
