"""``framewire inspect``: what a model file is, and whether a build would take it."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from builder.cli import main
from tests.tiny_detector import save_tiny_detector, tiny_detector
from tests.tiny_layouts import CONF, IOU, LAYOUTS, MAX_DET


def inspected(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, str]:
    assert main(["inspect", *arguments]) == 0
    rows = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    return {key: value.strip() for key, value in rows}


def test_a_detector_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_detector(width=96, height=64)
    model.producer_name, model.producer_version = "by hand", "1.0"
    rows = inspected(capsys, str(save_tiny_detector(tmp_path / "tiny.onnx", model)))
    assert rows["made"] == "by     by hand 1.0"
    assert rows["opset"] == "ai.onnx 17"
    assert rows["input"] == "images FLOAT [batch, 3, 64, 96]"
    assert rows["output"] == "output0 FLOAT [batch, 7, 126]"
    assert rows["head"].startswith("yolov8: ")
    assert rows["pixels"] == "RGB, 0 to 1, placed centre"
    assert rows["size"] == "96x64"
    assert rows["batch"] == "any"
    assert rows["classes"] == "3: red, green, blue"
    assert rows["overlaps"].startswith("conf 0.25, iou 0.7, at most 300 detections")
    assert rows["build"] == ("makes a pipeline whose network returns 126 candidates for an image")
    assert len(rows["sha256"]) == 64


def test_thresholds_of_the_model_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "nms.onnx"
    onnx.save(LAYOUTS["batched_nms"](96, 64), path)
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    rows = inspected(capsys, str(path), "--labels", str(tmp_path / "names.txt"))
    assert rows["head"].startswith("nms: the graph ends in BatchedNMS")
    assert rows["overlaps"].startswith(f"conf {CONF}, iou {IOU}, at most {MAX_DET} detections")
    assert "the model's own: conf, iou, max_det" in rows["overlaps"]


def test_what_a_build_would_refuse_is_said_and_the_rest_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(save_tiny_detector(tmp_path / "tiny.onnx", tiny_detector(metadata={})))
    rows = inspected(capsys, path)
    assert rows["classes"] == "3, without names"
    assert rows["build"].startswith("refused: tiny.onnx carries no class names")
    assert "--labels" in rows["build"]
    assert not inspected(capsys, path, "--number-classes")["build"].startswith("refused")


def test_an_unknown_head_is_shown_with_its_shapes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_detector()
    output = helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["batch", 1000])
    model.graph.output[0].CopyFrom(output)
    rows = inspected(capsys, str(save_tiny_detector(tmp_path / "tiny.onnx", model)))
    assert "head" not in rows
    assert "output0 [?, 1000]" in rows["build"]
    for known in ("yolov8", "end2end", "rtdetr", "yolov5", "yolox", "nms"):
        assert known in rows["build"]


def test_json_has_the_same_facts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save_tiny_detector(tmp_path / "tiny.onnx")
    assert main(["inspect", str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["file"] == str(path)
    assert facts["inputs"] == [{"name": "images", "type": "FLOAT", "dims": ["batch", 3, 64, 64]}]
    assert facts["detector"]["head"] == "yolov8"
    assert facts["detector"]["labels"] == ["red", "green", "blue"]
    assert facts["detector"]["pixel_range"] == [0, 1]
    assert facts["refusal"] is None


def test_what_is_no_onnx_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no protobuf")
    assert main(["inspect", str(path)]) == 1
    assert "model.onnx is not an ONNX file" in capsys.readouterr().err
