"""Checkpoints to ONNX, with the real ultralytics."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from builder.detectors import export
from builder.detectors.detector import read_detector
from builder.detectors.export import export_to_onnx
from builder.detectors.heads import Head
from builder.errors import ModelFileError
from tests.conftest import ROOT
from tests.heads.sources import QUIET

CHECKPOINTS = """
import sys, torch
from pathlib import Path
from tests.heads.architectures import Architecture
from tests.heads.export_architectures import build, save_checkpoint
from ultralytics import YOLO
folder = Path(sys.argv[1])
networks = (("own", "yolo11n", 2), ("rtdetr", "rtdetr-resnet50", 3), ("two_heads", "yolo26n", 2))
for name, yaml, classes in networks:
    network = build(Architecture(name, f"{yaml}.yaml", classes, size=(64, 64)))
    save_checkpoint(network, folder / f"{name}.pt")
save_checkpoint(YOLO("yolo11n-seg.yaml"), folder / "masks.pt")
torch.save({"state_dict": {"weight": torch.zeros(3)}}, folder / "weights.pt")
"""


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    environment = {**os.environ, **QUIET}
    code = [sys.executable, "-c", CHECKPOINTS, str(folder)]
    subprocess.run(code, cwd=ROOT, env=environment, check=True, capture_output=True)
    whole = (folder / "own.pt").read_bytes()
    (folder / "half.pt").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.pt").touch()
    (folder / "text.pt").write_text("no weights")
    return folder


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Away from the user's settings, and in a folder of its own that must stay empty."""
    monkeypatch.setenv("YOLO_OFFLINE", "true")
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path / "config"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def test_a_checkpoint_becomes_an_onnx_with_an_open_batch(checkpoints: Path, tmp_path: Path) -> None:
    before = sorted(checkpoints.iterdir())
    exported = export_to_onnx(str(checkpoints / "own.pt"), tmp_path / "out", size=(96, 64))
    assert exported == tmp_path / "out" / "own.onnx"
    detector = read_detector(exported)
    assert detector.head is Head.YOLOV8
    assert (detector.width, detector.height) == (96, 64)
    assert detector.labels == ("thing 0", "thing 1")
    assert detector.fixed_batch is None
    assert sorted(checkpoints.iterdir()) == before
    assert not list(Path.cwd().iterdir())


def test_the_opset_is_that_asked_for_and_the_size_that_of_the_training(
    checkpoints: Path, tmp_path: Path
) -> None:
    exported = export_to_onnx(str(checkpoints / "rtdetr.pt"), tmp_path, opset=16)
    assert onnx.load(exported).opset_import[0].version == 16
    detector = read_detector(exported)
    assert detector.head is Head.RTDETR
    assert (detector.width, detector.height) == (320, 320)


@pytest.mark.parametrize(("end2end", "head"), [(False, Head.YOLOV8), (True, Head.END2END)])
def test_a_checkpoint_with_two_heads_gives_the_one_asked_for(
    checkpoints: Path, tmp_path: Path, end2end: bool, head: Head
) -> None:
    exported = export_to_onnx(str(checkpoints / "two_heads.pt"), tmp_path, end2end=end2end)
    assert read_detector(exported).head is head


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("masks.pt", {}, r"task 'segment'.*task 'detect'"),
        ("half.pt", {}, "no checkpoint that ultralytics can load"),
        ("empty.pt", {}, "no checkpoint that ultralytics can load"),
        ("text.pt", {}, "no checkpoint that ultralytics can load"),
        ("weights.pt", {}, "no checkpoint that ultralytics can load"),
        ("own.pt", {"size": (100, 64)}, "100x64.*multiples of its stride 32.*--size"),
        ("own.pt", {"opset": 5}, r"could not export own\.pt .*opset"),
        ("missing.pt", {}, "no model file"),
        ("own.yaml", {}, "neither an .pt checkpoint nor an .onnx"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_sentence(
    checkpoints: Path, tmp_path: Path, name: str, options: dict[str, object], said: str
) -> None:
    with pytest.raises(ModelFileError, match=said) as refusal:
        export_to_onnx(str(checkpoints / name), tmp_path / "out", **options)
    message = str(refusal.value)
    assert "\n" not in message
    assert "framewire-export-" not in message
    assert not (tmp_path / "out").exists()
    assert not list(Path.cwd().iterdir())


def test_a_name_is_looked_for_where_ultralytics_keeps_weights(
    checkpoints: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    settings = (
        f"from ultralytics import settings; settings.update({{'weights_dir': {str(kept)!r}}})"
    )
    subprocess.run([sys.executable, "-c", settings], check=True, capture_output=True)
    with pytest.raises(ModelFileError, match=r"yolo11n\.pt is not here and could not be downlo"):
        export_to_onnx("yolo11n.pt", tmp_path)
    kept.mkdir(exist_ok=True)
    (kept / "yolo11n.pt").write_bytes((checkpoints / "own.pt").read_bytes())
    assert export_to_onnx("yolo11n.pt", tmp_path).name == "yolo11n.onnx"
    with pytest.raises(
        ModelFileError, match=r"no model file mine\.pt, and ultralytics offers none"
    ):
        export_to_onnx("mine.pt", tmp_path)
    assert not list(Path.cwd().iterdir())


def test_without_ultralytics_the_extra_is_named(
    checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ModelFileError, match=r"pip install -e '\.\[export\]'"):
        export_to_onnx(str(checkpoints / "own.pt"), tmp_path)


def test_a_file_called_like_a_model_of_ultralytics_is_exported_itself(
    checkpoints: Path, tmp_path: Path
) -> None:
    # Ultralytics takes a name such as this for its own yolov5nu.pt, whatever file it finds.
    own = tmp_path / "yolov5n.pt"
    own.write_bytes((checkpoints / "own.pt").read_bytes())
    exported = export_to_onnx(str(own), tmp_path / "out", size=(64, 64))
    assert exported.name == "yolov5n.onnx"
    assert read_detector(exported).labels == ("thing 0", "thing 1")
