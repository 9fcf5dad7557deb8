"""What docs/builder.md tells people to type does what it says."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from pathlib import Path

import onnx
import pytest

from builder.commands.build import add_build
from builder.detectors.heads import LAYOUTS as HEADS
from builder.pipelines.manifest import pipelines
from tests.conftest import ROOT
from tests.documented import run
from tests.tiny_detector import LABELS
from tests.tiny_layouts import LAYOUTS

DOCUMENT = (ROOT / "docs" / "builder.md").read_text()
COMMANDS = re.findall(r"^    (framewire (?:build|inspect) .*)$", DOCUMENT, re.MULTILINE)
# The files that the exporters named there would have written.
STAND_INS = {
    "yolo26n.onnx": "end2end",
    "rtdetr-l.onnx": "queries",
    "yolov5s.onnx": "yolov5",
    "yolov7.onnx": "yolov5",
    "yolov7-nms.onnx": "efficient_nms",
    "yolox_s.onnx": "yolox",
}
ULTRALYTICS = """
import sys
from pathlib import Path
from tests.heads.architectures import Architecture
from tests.heads.export_architectures import build, export, save_checkpoint
folder, architecture = Path(sys.argv[1]), Architecture("best", "yolo11n.yaml", size=(64, 64))
network = build(architecture)
save_checkpoint(network, folder / "best.pt")
export(network, architecture, folder / "yolo11n.onnx")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documented")
    names = str(dict(enumerate(LABELS)))
    for file, layout in STAND_INS.items():
        model = LAYOUTS[layout](96, 64)
        if layout in {"end2end", "queries"}:
            onnx.helper.set_model_props(model, {"names": names})
        onnx.save(model, folder / file)
    (folder / "coco.txt").write_text("\n".join(LABELS))
    (folder / "coco.yaml").write_text(f"names: {list(LABELS)}")
    run([sys.executable, "-c", ULTRALYTICS, str(folder)], ROOT)
    return folder


def test_every_command_works(folder: Path) -> None:
    runnable = [command for command in COMMANDS if "MODEL" not in command]
    assert len(runnable) == len(COMMANDS) - 2 >= 10
    named = set()
    for command in runnable:
        _, *arguments = shlex.split(command)
        output = run([sys.executable, "-m", "builder.cli", *arguments], folder)
        if arguments[0] == "build":
            named.add(arguments[arguments.index("--name") + 1])
            assert "built " in output
        else:
            assert_shown(output)
    assert set(pipelines(folder / "models")) == named | {"both_fp16"}


def assert_shown(output: str) -> None:
    """The document's lines are the command's, but for what is left out and who made the file."""
    shown = re.findall(
        r"^    (head|pixels|overlaps|build|input|output|opset) +(.*)$", DOCUMENT, re.M
    )
    assert len(shown) == 7
    for key, value in shown:
        assert f"{key:<10}  {value.removesuffix(', ...')}" in output


def test_every_option_of_reading_and_building_is_explained() -> None:
    parser = argparse.ArgumentParser()
    add_build(parser.add_subparsers())
    text = parser._subparsers._group_actions[0].choices["build"].format_help()
    explained_elsewhere = {"--help", "--name", "--repository", "--replace", "--keep", "--url"}
    explained_elsewhere |= {"--ground-truth", "--max-map-drop", "--execution-provider"}
    explained_elsewhere |= {"--max-image-bytes", "--max-image-pixels"}
    options = {each for each in re.findall(r"--[a-z-]+", text) if not each.startswith("--no-")}
    assert {each for each in options if f"`{each}" not in DOCUMENT} <= explained_elsewhere | {
        "--tensorrt",
        "--runtime",
    }


def test_every_head_is_in_the_table() -> None:
    for head in HEADS:
        assert f"| `{head.value}` |" in DOCUMENT
