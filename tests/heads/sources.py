"""Every head that Framewire serves, as files to build pipelines of."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx

from builder.detectors.heads import Head
from builder.settings import Nms, Precision
from tests.conftest import ROOT
from tests.heads.architectures import ARCHITECTURES
from tests.tiny_detector import LABELS
from tests.tiny_layouts import LAYOUTS

# Ultralytics is to load nothing, install nothing and say nothing.
QUIET = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}
LAYOUT_SIZE = (96, 64)

HEADS: Mapping[str, Head] = {
    "yolov8n": Head.YOLOV8,
    "yolov9t": Head.YOLOV8,
    "yolo11n-opset11": Head.YOLOV8,
    "yolo11n-fp16": Head.YOLOV8,
    "yolo12n-batch1": Head.YOLOV8,
    "yolov10n": Head.END2END,
    "yolo26n": Head.END2END,
    "yolo26n-one-to-many": Head.YOLOV8,
    "rtdetr": Head.RTDETR,
    "rtdetr-8.3": Head.RTDETR,
    "yolov5": Head.YOLOV5,
    "yolox": Head.YOLOX,
    "end2end": Head.END2END,
    "queries": Head.RTDETR,
    "efficient_nms": Head.NMS,
    "batched_nms": Head.NMS,
    "selected_indices": Head.NMS,
    "batch_rows": Head.NMS,
    "table_of_rows": Head.END2END,
}
"""What each file is to be recognised as."""


@dataclass(frozen=True)
class Build:
    """A pipeline of the table.

    Attributes:
        source: which file, a key of ``HEADS``.
        precision: of the network.
        nms: where overlaps are suppressed.
        multi_label: whether a box may have several classes; as the model has it when None.
    """

    source: str
    precision: Precision = Precision.FP32
    nms: Nms = Nms.PYTHON
    multi_label: bool | None = None

    @property
    def head(self) -> Head:
        """The head it is to be recognised as."""
        return HEADS[self.source]

    @property
    def name(self) -> str:
        """Of the pipeline."""
        parts = [self.source.replace(".", "_"), self.precision.value]
        parts += ["graph"] if self.nms is Nms.GRAPH else []
        parts += ["multi"] if self.multi_label else []
        return "-".join(parts)


BUILDS = (
    *(Build(source) for source in HEADS),
    *(Build(source, Precision.FP16) for source in ("yolov8n", "end2end", "rtdetr", "yolov5")),
    *(Build(source, nms=Nms.GRAPH) for source in ("yolov8n", "yolov5", "efficient_nms")),
    Build("yolov8n", multi_label=True),
)


# The compiler for machines without a GPU has no ONNX NonMaxSuppression; TensorRT itself has.
NOT_COMPILED = frozenset({"batch_rows", "table_of_rows"})


def write_sources(folder: Path) -> dict[str, Path]:
    """Write every file and return where each is."""
    subprocess.run(
        [sys.executable, "-m", "tests.heads.export_architectures", str(folder)],
        cwd=ROOT,
        env={**os.environ, **QUIET},
        check=True,
        capture_output=True,
    )
    files = {each.name: folder / f"{each.name}.onnx" for each in ARCHITECTURES}
    for name, layout in LAYOUTS.items():
        files[name] = folder / f"{name}.onnx"
        onnx.save(layout(*LAYOUT_SIZE), files[name])
    return files


def labels_of(source: str) -> tuple[str, ...] | None:
    """Return the class names that a file does not bring itself."""
    return LABELS if source in LAYOUTS else None
