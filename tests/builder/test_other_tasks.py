"""Networks for other tasks than detection are refused in words, also without metadata."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from builder.detectors.detector import read_detector
from builder.detectors.heads import Head
from builder.errors import ModelFileError
from tests.conftest import ROOT
from tests.heads.sources import QUIET
from tests.tiny_detector import LABELS
from tests.tiny_layouts import table_of_rows

EXPORTS = """
import shutil, sys
from pathlib import Path
from tests.heads.export_architectures import _scratch_folder
from ultralytics import YOLO
for name, yaml, options in (
    ("segment", "yolo11n-seg", {}),
    ("pose", "yolo11n-pose", {}),
    ("obb", "yolo11n-obb", {}),
    ("classify", "yolo11n-cls", {}),
    ("segment-rows", "yolo26n-seg", {"nms": False}),
    ("pose-rows", "yolo26n-pose", {"nms": False}),
    ("obb-rows", "yolo26n-obb", {"nms": False}),
):
    network = YOLO(f"{yaml}.yaml")
    with _scratch_folder() as scratch:
        written = network.export(
            format="onnx", imgsz=(64, 96), dynamic=True, simplify=False, **options
        )
        shutil.move(scratch / written, Path(sys.argv[1]) / f"{name}.onnx")
"""
TASKS = ("segment", "pose", "obb", "classify", "segment-rows", "pose-rows", "obb-rows")


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    code = [sys.executable, "-c", EXPORTS, str(folder)]
    environment = {**os.environ, **QUIET}
    subprocess.run(code, cwd=ROOT, env=environment, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("name", TASKS)
def test_an_export_for_another_task_is_refused_by_its_metadata(exports: Path, name: str) -> None:
    with pytest.raises(ModelFileError, match=rf"for the task '{name.partition('-')[0]}'; "):
        read_detector(exports / f"{name}.onnx", number_classes=True)


@pytest.mark.parametrize("name", TASKS)
def test_without_metadata_the_graph_shows_the_task(
    exports: Path, name: str, tmp_path: Path
) -> None:
    model = onnx.load(exports / f"{name}.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    task = name.partition("-")[0]
    with pytest.raises(
        ModelFileError, match=rf"bare.onnx looks like a model for the task '[^']*{task}.*--head"
    ):
        read_detector(tmp_path / "bare.onnx", number_classes=True)


@pytest.mark.parametrize(("more", "task"), [(1, "obb"), (32, "segment"), (51, "pose or segment")])
def test_rows_of_an_nms_that_hold_more_than_a_box_are_refused(
    tmp_path: Path, more: int, task: str
) -> None:
    onnx.save(table_of_rows(96, 64, more_columns=more), tmp_path / "rows.onnx")
    with pytest.raises(ModelFileError, match=rf"for the task '{task}'.*than a box"):
        read_detector(tmp_path / "rows.onnx", labels=LABELS)


def test_who_knows_better_can_say_so(exports: Path, tmp_path: Path) -> None:
    model = onnx.load(exports / "obb.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    detector = read_detector(tmp_path / "bare.onnx", head=Head.YOLOV8, number_classes=True)
    assert detector.head is Head.YOLOV8
