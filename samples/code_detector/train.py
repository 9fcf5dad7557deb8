"""Train the code detector from nothing on rendered scenes, evaluate it, export it.

    python train.py tiles    --data work/data --run work/runs/tiles     # 320 px, most of the time
    python train.py stitch   --data work/data                          # four tiles to one 640
    python train.py finetune --data work/data --run work/runs/finetune --weights .../last.pt
    python train.py evaluate --data work/data --weights .../best.pt
    python train.py export   --weights .../best.pt --onnx codes.onnx

`--data` holds train_tiles, val_tiles (320 px), train_scenes, val_scenes and held_out (640 px), each
written by scenes.py. Everything runs on a CPU; the forward pass uses bfloat16, which a current
server processor computes about 1.6 times as fast.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import tempfile
import time
from pathlib import Path

os.environ.setdefault("YOLO_OFFLINE", "true")  # never fetch weights or fonts

import cv2
import numpy as np
import onnx
import onnxslim
import torch
from ultralytics import YOLO
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils import torch_utils

from symbols import CLASS_NAMES

ARCHITECTURE = Path(__file__).with_name("yolo11-codes.yaml")
SERVED_SIZE = 640
COMMON = {
    "device": "cpu",
    "amp": False,
    "plots": False,
    "optimizer": "AdamW",
    "weight_decay": 0.0005,
    "cos_lr": True,
    # Scenes come with their own geometry, light and clutter: the pipeline only recolours them.
    "mosaic": 0.0,
    "fliplr": 0.5,
    "translate": 0.0,
    "scale": 0.0,
    "hsv_h": 0.02,
    "hsv_s": 0.5,
    "hsv_v": 0.3,
    "auto_augment": None,
    "erasing": 0.0,
    "seed": 0,
}


def use_whole_processor(model: YOLO) -> None:
    """Compute on every core and load images beside it; ultralytics leaves a core idle on CPUs."""
    torch_utils.NUM_THREADS = os.cpu_count() or 1
    model.add_callback("on_pretrain_routine_start", lambda t: setattr(t.args, "workers", 1))


def use_bfloat16_forward() -> None:
    """Run the network of a training step under CPU autocast; the loss stays in float32.

    Ultralytics' own `amp="bf16"` refuses every device but CUDA (8.4).
    """
    plain_loss = DetectionModel.loss

    def loss(model, batch, preds=None):
        if preds is None:
            with torch.autocast("cpu", torch.bfloat16):
                preds = model.forward(batch["img"])
            preds = _as_float32(preds)
        return plain_loss(model, batch, preds)

    DetectionModel.loss = loss


def decay_by_the_clock(model: YOLO, lr0: float, hours: float) -> None:
    """Set the learning rate at every step: a short ramp up to lr0, then a cosine down to 0.

    With few epochs in a fixed time, ultralytics' steps from epoch to epoch are too coarse.
    """
    started = time.monotonic()

    def set_rate(trainer):
        spent = min((time.monotonic() - started) / (hours * 3600), 1.0)
        rate = lr0 * min(spent / 0.02, (1 + math.cos(math.pi * spent)) / 2)
        for group in trainer.optimizer.param_groups:
            group["lr"] = rate

    model.add_callback("on_train_batch_start", set_rate)


def _as_float32(value):
    """The same nested structure of tensors in float32."""
    if isinstance(value, torch.Tensor):
        return value.float()
    if isinstance(value, dict):
        return {k: _as_float32(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_as_float32(v) for v in value)
    return value


def describe_data(data: Path, val: str, *train: str) -> Path:
    """Write the data set's description that ultralytics reads; returns its path."""
    path = data / f"{val}.yaml"
    description = {
        "path": str(data.resolve()),
        "train": [f"{name}/images" for name in train],
        "val": f"{val}/images",
        "names": dict(enumerate(CLASS_NAMES)),
    }
    path.write_text(json.dumps(description, indent=2))  # JSON is YAML
    return path


def train_tiles(data: Path, run: Path, hours: float) -> None:
    """From random weights on 320-pixel tiles, whose codes have the size they have at 640."""
    use_bfloat16_forward()
    model = YOLO(ARCHITECTURE)
    use_whole_processor(model)
    model.train(
        data=describe_data(data, "val_tiles", "train_tiles"),
        imgsz=320,
        pretrained=False,
        batch=16,
        nbs=16,
        time=hours,
        lr0=0.002,
        warmup_epochs=0.3,
        project=str(run.resolve().parent),
        name=run.name,
        exist_ok=True,
        **COMMON,
    )


def stitch(data: Path, count: int = 4000) -> None:
    """Join tiles by fours to 640-pixel images in train_stitched: twice as many codes per image."""
    out = data / "train_stitched"
    for folder in ("images", "labels"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    tiles = sorted((data / "train_tiles" / "images").glob("*.jpg"))
    for i in range(count):
        sheet = np.empty((SERVED_SIZE, SERVED_SIZE, 3), np.uint8)
        lines = []
        for corner, tile in enumerate(tiles[4 * i : 4 * i + 4]):
            row, column = divmod(corner, 2)
            half = SERVED_SIZE // 2
            place = np.s_[row * half : (row + 1) * half, column * half : (column + 1) * half]
            sheet[place] = cv2.imread(str(tile))
            labels = tile.parent.parent / "labels" / f"{tile.stem}.txt"
            for class_id, x, y, width, height in map(str.split, labels.read_text().splitlines()):
                centre = (float(x) + column) / 2, (float(y) + row) / 2
                values = (*centre, float(width) / 2, float(height) / 2)
                lines.append(f"{class_id} " + " ".join(f"{v:.6f}" for v in values))
        cv2.imwrite(str(out / "images" / f"{i:06d}.jpg"), sheet)
        (out / "labels" / f"{i:06d}.txt").write_text("\n".join(lines))


def finetune(data: Path, run: Path, weights: Path, hours: float) -> None:
    """Continue at 640 pixels, the size that is served, on whole scenes and stitched tiles."""
    use_bfloat16_forward()
    model = YOLO(weights)
    use_whole_processor(model)
    decay_by_the_clock(model, lr0=0.001, hours=hours)
    model.train(
        data=describe_data(data, "val_scenes", "train_scenes", "train_stitched"),
        imgsz=SERVED_SIZE,
        pretrained=True,
        batch=8,
        nbs=8,
        time=hours,
        lr0=0.001,
        warmup_epochs=0,
        project=str(run.resolve().parent),
        name=run.name,
        exist_ok=True,
        **COMMON,
    )


def evaluate(data: Path, weights: Path) -> dict[str, object]:
    """Ultralytics' own validation on the held-out scenes at the served size; .pt or .onnx."""
    model = YOLO(weights, task="detect")
    metrics = model.val(
        data=describe_data(data, "held_out", "train_scenes"),
        imgsz=SERVED_SIZE,
        rect=False,
        batch=8,
        device="cpu",
        plots=False,
    )
    box = metrics.box
    per_class = {
        CLASS_NAMES[c]: {"map50": float(box.ap50[i]), "map50_95": float(box.ap[i])}
        for i, c in enumerate(box.ap_class_index)
    }
    overall = {"map50": float(box.map50), "map50_95": float(box.map)}
    return overall | {"classes": per_class, "false_alarms": _false_alarms(model, data / "held_out")}


def _false_alarms(model: YOLO, held_out: Path) -> dict[str, int]:
    """Detections at a confidence of 0.25 in the scenes that carry no label."""
    labels = sorted((held_out / "labels").glob("*.txt"))
    empty = [held_out / "images" / f"{p.stem}.jpg" for p in labels if not p.stat().st_size]
    found = [
        len(model.predict(str(p), imgsz=SERVED_SIZE, conf=0.25, rect=False, verbose=False)[0])
        for p in empty
    ]
    return {"scenes": len(empty), "with_detections": sum(map(bool, found)), "boxes": sum(found)}


def export(weights: Path, onnx_path: Path) -> None:
    """Write fp32 ONNX, opset 17, with only the batch dynamic: images [N, 3, 640, 640]."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(weights, Path(folder) / "codes.pt"))
        exported = YOLO(copy).export(
            format="onnx", imgsz=SERVED_SIZE, dynamic=True, simplify=True, opset=17, device="cpu"
        )
        model = onnx.load(exported)
    _fix_all_but_batch(model, "images", ("batch", 3, SERVED_SIZE, SERVED_SIZE))
    anchors = sum((SERVED_SIZE // stride) ** 2 for stride in (8, 16, 32))
    _fix_all_but_batch(model, "output0", ("batch", 4 + len(CLASS_NAMES), anchors))
    del model.graph.value_info[:]  # shapes that no longer hold, and a tenth of the file
    model = onnxslim.slim(model)  # with height and width fixed the anchors fold into constants
    onnx.checker.check_model(model, full_check=True)
    partial = onnx_path.with_suffix(".part")
    onnx.save(model, partial)
    partial.replace(onnx_path)


def _fix_all_but_batch(model: onnx.ModelProto, name: str, shape: tuple[str | int, ...]) -> None:
    value = next(v for v in (*model.graph.input, *model.graph.output) if v.name == name)
    for dimension, wanted in zip(value.type.tensor_type.shape.dim, shape, strict=True):
        if isinstance(wanted, str):
            dimension.dim_param = wanted
        else:
            dimension.dim_value = wanted


def main() -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Train, evaluate and export the code detector.")
    parser.add_argument("step", choices=("tiles", "stitch", "finetune", "evaluate", "export"))
    parser.add_argument("--data", type=Path, help="folder of the rendered data sets")
    parser.add_argument("--run", type=Path, help="folder for this training run")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--onnx", type=Path, default=Path(__file__).with_name("codes.onnx"))
    parser.add_argument("--hours", type=float, default=0.85)
    arguments = parser.parse_args()
    if arguments.step == "tiles":
        train_tiles(arguments.data, arguments.run, arguments.hours)
    elif arguments.step == "stitch":
        stitch(arguments.data)
    elif arguments.step == "finetune":
        finetune(arguments.data, arguments.run, arguments.weights, arguments.hours)
    elif arguments.step == "evaluate":
        print(json.dumps(evaluate(arguments.data, arguments.weights), indent=2))
    else:
        export(arguments.weights, arguments.onnx)


if __name__ == "__main__":
    main()
