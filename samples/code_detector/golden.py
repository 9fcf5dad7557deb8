"""Record what ultralytics itself detects in the sample images: the reference for every pipeline.

    python golden.py --onnx codes.onnx --samples ..

The network is the one of the architecture's YAML with the weights of the ONNX file, in torch, so
that ultralytics takes it for a checkpoint of its own: ``predict`` letterboxes to the smallest
rectangle then, its default, which it does with no ONNX file of one size. Beside it stands what it
detects in squares (``rect=False``), as a pipeline built with ``--shape square`` does.

A detection close to the confidence threshold would come and go with rounding; the script names such
images so that others can be chosen.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("YOLO_OFFLINE", "true")

import numpy as np
import onnx
import torch
import ultralytics
from onnx import numpy_helper
from PIL import Image, ImageOps
from ultralytics import YOLO
from ultralytics.nn.tasks import DetectionModel

ARCHITECTURE = Path(__file__).with_name("yolo11-codes.yaml")
SETTINGS = {
    "imgsz": 640,
    "conf": 0.25,
    "iou": 0.7,
    "max_det": 300,
    "device": "cpu",
}
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
_TOO_CLOSE = 0.01


def checkpoint(onnx_file: Path, folder: Path) -> Path:
    """Write a checkpoint of ultralytics with the weights of its ONNX export; return its path.

    The export has the weights of the fused network under their names.
    """
    exported = onnx.load(onnx_file)
    properties = {entry.key: entry.value for entry in exported.metadata_props}
    names = ast.literal_eval(properties["names"])
    network = DetectionModel(str(ARCHITECTURE), nc=len(names), verbose=False)
    network.eval()
    network.fuse(verbose=False)
    weights = {
        tensor.name: torch.from_numpy(np.array(numpy_helper.to_array(tensor)))
        for tensor in exported.graph.initializer
        if tensor.name.startswith("model.")
    }
    # Strict: every weight of the network is in the file, and all of the file's are the network's.
    network.load_state_dict(weights)
    network.names, network.task = names, "detect"
    network.args = {"imgsz": SETTINGS["imgsz"], "task": "detect"}
    path = folder / "codes.pt"
    torch.save({"model": network, "train_args": network.args}, path)
    return path


def detect(model: YOLO, path: Path, **changes: float) -> list[dict[str, object]]:
    """The detections in one file, best first; boxes are x1 y1 x2 y2 in pixels as shown."""
    result = model.predict(source=str(path), verbose=False, **SETTINGS | changes)[0]
    return [
        {
            "class": int(class_id),
            "label": result.names[int(class_id)],
            "score": round(float(score), 6),
            "box": [round(float(v), 4) for v in box],
        }
        for box, score, class_id in zip(
            result.boxes.xyxy, result.boxes.conf, result.boxes.cls, strict=True
        )
    ]


def record(onnx_file: Path, samples: Path) -> tuple[dict[str, object], list[str]]:
    """The content of golden.json, and the files with a score within 0.01 of the threshold."""
    with tempfile.TemporaryDirectory() as folder:
        model = YOLO(checkpoint(onnx_file, Path(folder)))
    files = [*samples.iterdir(), *(samples / "golden").iterdir()]
    images, unstable = [], []
    for path in sorted(f for f in files if f.suffix.lower() in _SUFFIXES):
        with Image.open(path) as image:
            width, height = ImageOps.exif_transpose(image).size
        images.append(
            {
                "file": path.relative_to(samples).as_posix(),
                "width": width,
                "height": height,
                "detections": detect(model, path),
                "in_square": detect(model, path, rect=False),
            }
        )
        for rect in (True, False):
            nearby = detect(model, path, conf=SETTINGS["conf"] - _TOO_CLOSE, rect=rect)
            if any(d["score"] < SETTINGS["conf"] + _TOO_CLOSE for d in nearby):
                unstable.append(f"{path.relative_to(samples).as_posix()} (rect={rect})")
    golden = {
        "ultralytics": ultralytics.__version__,
        "torch": torch.__version__,
        "model": onnx_file.name,
        "model_sha256": hashlib.sha256(onnx_file.read_bytes()).hexdigest(),
        "settings": SETTINGS,
        "images": images,
    }
    return golden, unstable


def main() -> int:
    """The command line; see the module's docstring."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description="Record ultralytics' detections.")
    parser.add_argument("--onnx", type=Path, default=here / "codes.onnx")
    parser.add_argument("--samples", type=Path, default=here.parent)
    arguments = parser.parse_args()
    golden, unstable = record(arguments.onnx, arguments.samples)
    text = json.dumps(golden, indent=1)
    (arguments.samples / "golden.json").write_text(text + "\n")
    print(f"{len(golden['images'])} images, {text.count('score')} detections")
    for file in unstable:
        print(f"{file}: a score lies within {_TOO_CLOSE} of {SETTINGS['conf']}; choose another")
    return bool(unstable)


if __name__ == "__main__":
    sys.exit(main())
