"""The checkpoint that an ultralytics export was made from, and an export with open sizes.

    python benchmarks/peers/checkpoint.py --onnx samples/code_detector/codes.onnx \
        --yaml samples/code_detector/yolo11-codes.yaml --out build/peers

The demo detector is in the tree as an ONNX file of one size, for which ``predict`` cannot take the
rectangle that is its default. Its convolutions bear the names that they have in ultralytics' model,
so they are put back into one made from its description: ``codes.pt``. From that ultralytics exports
``codes_open.onnx``, which takes rectangles too. Both are checked against the file that they come
from. Needs ultralytics, onnx and onnxruntime.
"""

from __future__ import annotations

import argparse
import ast
import os
import sys
from pathlib import Path

# It neither installs nor downloads anything here, and tells nobody about models.
os.environ.update(YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false", ORT_DISABLE_TELEMETRY="1")

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from ultralytics import YOLO

# In pixels of boxes and in scores; what float32 computed in another order comes to is far less.
BOX_TOLERANCE, SCORE_TOLERANCE = 0.1, 1e-3


def restored(graph: onnx.ModelProto, description: Path) -> YOLO:
    """Return the detector that a graph was exported from, its batch norms part of its weights.

    Args:
        graph: an export of ultralytics.
        description: the YAML that the detector was trained with.

    Raises:
        ValueError: weights are missing, or are of other shapes.
    """
    weights = {
        each.name.removeprefix("model."): torch.from_numpy(onnx.numpy_helper.to_array(each).copy())
        for each in graph.graph.initializer
    }
    detector = YOLO(description, task="detect", verbose=False)
    detector.model.fuse(verbose=False)
    layers = detector.model.model
    if missing := sorted(set(layers.state_dict()) - set(weights)):
        raise ValueError(f"{missing[0]} is not in the graph: is it of another detector?")
    layers.load_state_dict({name: weights[name] for name in layers.state_dict()})
    facts = {each.key: each.value for each in graph.metadata_props}
    detector.model.names = ast.literal_eval(facts["names"])
    detector.model.eval()
    return detector


def save(detector: YOLO, file: Path, side: int) -> None:
    """Write a checkpoint as ultralytics reads it, in float32."""
    torch.save(
        {
            "model": detector.model,
            "train_args": {"imgsz": side, "task": "detect"},
            "epoch": -1,
            "optimizer": None,
            "ema": None,
        },
        file,
    )


def check(found: NDArray[np.float32], wanted: NDArray[np.float32], name: str) -> None:
    """Check that raw outputs, ``[1, 4 + classes, anchors]``, are the same.

    Raises:
        ValueError: they are not.
    """
    boxes = float(np.abs(found[:, :4] - wanted[:, :4]).max())
    scores = float(np.abs(found[:, 4:] - wanted[:, 4:]).max())
    if boxes > BOX_TOLERANCE or scores > SCORE_TOLERANCE:
        raise ValueError(f"{name} is another network: boxes {boxes:.3f} px, scores {scores:.5f}")


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--onnx", type=Path, required=True)
    parser.add_argument("--yaml", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    graph = onnx.load(arguments.onnx)
    detector = restored(graph, arguments.yaml)
    original = onnxruntime.InferenceSession(arguments.onnx, providers=["CPUExecutionProvider"])
    side = original.get_inputs()[0].shape[-1]
    picture = np.random.default_rng(0).random((1, 3, side, side), np.float32)
    (wanted,) = original.run(None, {"images": picture})
    with torch.inference_mode():
        check(detector.model(torch.from_numpy(picture))[0].numpy(), wanted, "the checkpoint")
    checkpoint = arguments.out / f"{arguments.onnx.stem}.pt"
    save(detector, checkpoint, side)
    exported = Path(YOLO(checkpoint).export(format="onnx", imgsz=side, dynamic=True, verbose=False))
    opened = exported.rename(exported.with_name(f"{arguments.onnx.stem}_open.onnx"))
    session = onnxruntime.InferenceSession(opened, providers=["CPUExecutionProvider"])
    check(session.run(None, {"images": picture})[0], wanted, "the open export")
    rectangle = session.run(None, {"images": picture[:, :, : side // 2]})[0]
    if rectangle.shape[-1] >= wanted.shape[-1]:
        raise ValueError("the open export takes no rectangles")
    print(f"{checkpoint} and {opened}: the network of {arguments.onnx}", file=sys.stderr)


if __name__ == "__main__":
    main()
