"""Record what ultralytics itself detects in the sample images: the reference for every pipeline.

    python golden.py --onnx codes.onnx --samples ..

The settings are those of a served network, which has one shape: rect=False pads every image to a
square. A detection close to the confidence threshold would come and go with rounding; the script
names such images so that others can be chosen.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("YOLO_OFFLINE", "true")

import onnxruntime
import ultralytics
from PIL import Image, ImageOps
from ultralytics import YOLO

SETTINGS = {
    "imgsz": 640,
    "rect": False,
    "conf": 0.25,
    "iou": 0.7,
    "max_det": 300,
    "device": "cpu",
}
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
_TOO_CLOSE = 0.01


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


def record(onnx: Path, samples: Path) -> tuple[dict[str, object], list[str]]:
    """The content of golden.json, and the files with a score within 0.01 of the threshold."""
    model = YOLO(onnx, task="detect")
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
            }
        )
        nearby = detect(model, path, conf=SETTINGS["conf"] - _TOO_CLOSE)
        if any(d["score"] < SETTINGS["conf"] + _TOO_CLOSE for d in nearby):
            unstable.append(path.relative_to(samples).as_posix())
    golden = {
        "ultralytics": ultralytics.__version__,
        "onnxruntime": onnxruntime.__version__,
        "model": onnx.name,
        "model_sha256": hashlib.sha256(onnx.read_bytes()).hexdigest(),
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
