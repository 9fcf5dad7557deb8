"""Real architectures, each exported by ultralytics for one size and with open sizes.

    python -m tests.heads.export_pairs FOLDER

writes ``NAME-fixed.onnx`` and ``NAME-open.onnx`` with the same random weights.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from tests.heads.architectures import Architecture
from tests.heads.export_architectures import build, export

SIZE = (256, 192)
PAIRS = (
    Architecture("yolov8n-p6", "yolov8n-p6.yaml", size=SIZE, options={}),
    Architecture("yolov9t", "yolov9t.yaml", size=SIZE, options={}),
    Architecture("yolov10n", "yolov10n.yaml", size=SIZE, options={"nms": False}),
    Architecture("yolo11n", "yolo11n.yaml", size=SIZE, options={}),
    Architecture("yolo12n", "yolo12n.yaml", size=SIZE, options={}),
    Architecture("yolo26n", "yolo26n.yaml", size=SIZE, options={"nms": False}),
)


def export_all(folder: Path) -> None:
    """Write both files of every architecture."""
    for fixed in PAIRS:
        network = build(fixed)
        export(network, fixed, folder / f"{fixed.name}-fixed.onnx")
        opened = dataclasses.replace(fixed, options={**fixed.options, "dynamic": True})
        export(network, opened, folder / f"{fixed.name}-open.onnx")


if __name__ == "__main__":
    export_all(Path(sys.argv[1]))
