"""Real architectures with random weights whose answers mean something, exported by ultralytics.

    python -m tests.heads.export_architectures FOLDER

writes an ONNX file for each of :data:`tests.heads.architectures.ARCHITECTURES`. It is a program of
its own so that torch stays out of the process of the tests. A network with random weights gives
every anchor about the same score; :mod:`tests.heads.tuning` makes its answers worth comparing.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from ultralytics import RTDETR, YOLO

from tests.heads.architectures import ARCHITECTURES, Architecture
from tests.heads.tuning import tune_rtdetr, tune_yolo

SEED = 0


def export_all(folder: Path) -> None:
    """Write the ONNX file of every architecture."""
    for architecture in ARCHITECTURES:
        export(build(architecture), architecture, folder / f"{architecture.name}.onnx")


def export(network: Any, architecture: Architecture, path: Path) -> None:
    """Write the ONNX file of a network."""
    width, height = architecture.size
    with _scratch_folder() as scratch:
        written = network.export(format="onnx", imgsz=(height, width), **architecture.options)
        shutil.move(scratch / written, path)


def save_checkpoint(network: Any, path: Path) -> None:
    """Write a network as ultralytics' trainer does."""
    torch.save({"model": network.model, "train_args": {"imgsz": 320, "task": "detect"}}, path)


@contextmanager
def _scratch_folder() -> Iterator[Path]:
    # Ultralytics writes where it is.
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        try:
            yield Path(scratch)
        finally:
            os.chdir(before)


def build(architecture: Architecture) -> Any:
    """Return an ultralytics model that is tuned on pictures."""
    is_rtdetr = architecture.yaml.startswith("rtdetr")
    network = (RTDETR if is_rtdetr else YOLO)(architecture.yaml)
    config = {**network.model.yaml, "nc": architecture.classes}
    if is_rtdetr:
        _shrink_rtdetr(config)
    torch.manual_seed(SEED)
    model = type(network.model)(config, nc=architecture.classes, verbose=False)
    model.names = {index: f"thing {index}" for index in range(architecture.classes)}
    model.args, model.task = network.model.args, "detect"
    network.model = model
    (tune_rtdetr if is_rtdetr else tune_yolo)(model, *architecture.size)
    if architecture.all_scores:
        model.model[-1].postprocess = lambda boxes, scores: torch.cat([boxes, scores], -1)
    return network


def _shrink_rtdetr(config: dict[str, Any]) -> None:
    """Leave a quarter of the channels and the shortest depth: forty times fewer weights."""
    for layer in (*config["backbone"], *config["head"]):
        _, _, module, arguments = layer
        layer[1] = 1
        if module == "ResNetLayer":
            first, channels, *_ = arguments
            arguments[:2] = first if first == 3 else first // 4, channels // 4
            arguments[4] = 1
        elif module in {"Conv", "RepC3"}:
            arguments[0] //= 4
        elif module == "AIFI":
            arguments[:] = 128, 4
        elif module == "RTDETRDecoder":
            arguments += [64, 300, 4, 4, 2, 128]


if __name__ == "__main__":
    export_all(Path(sys.argv[1]))
