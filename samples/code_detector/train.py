"""Train the code detector from nothing on rendered scenes, evaluate it, export it.

    python train.py tiles    --data work/data --run work/runs/tiles     # 320 px, most of the time
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
import os
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("YOLO_OFFLINE", "true")  # never fetch weights or fonts

import onnx
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
    "pretrained": False,
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


def _as_float32(value):
    """The same nested structure of tensors in float32."""
    if isinstance(value, torch.Tensor):
        return value.float()
    if isinstance(value, dict):
        return {k: _as_float32(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_as_float32(v) for v in value)
    return value


def describe_data(data: Path, train: str, val: str) -> Path:
    """Write the data set's description that ultralytics reads; returns its path."""
    path = data / f"{train}-{val}.yaml"
    description = {
        "path": str(data.resolve()),
        "train": f"{train}/images",
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
        data=describe_data(data, "train_tiles", "val_tiles"),
        imgsz=320,
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


def finetune(data: Path, run: Path, weights: Path, hours: float) -> None:
    """Continue on whole 640-pixel scenes, the size that is served."""
    use_bfloat16_forward()
    model = YOLO(weights)
    use_whole_processor(model)
    model.train(
        data=describe_data(data, "train_scenes", "val_scenes"),
        imgsz=SERVED_SIZE,
        batch=8,
        nbs=8,
        time=hours,
        lr0=0.0006,
        lrf=0.02,
        warmup_epochs=0.1,
        project=str(run.resolve().parent),
        name=run.name,
        exist_ok=True,
        **COMMON,
    )


def evaluate(data: Path, weights: Path) -> dict[str, object]:
    """Ultralytics' own validation on the held-out scenes at the served size."""
    metrics = YOLO(weights).val(
        data=describe_data(data, "held_out", "held_out"),
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
    return {"map50": float(box.map50), "map50_95": float(box.map), "classes": per_class}


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
    parser.add_argument("step", choices=("tiles", "finetune", "evaluate", "export"))
    parser.add_argument("--data", type=Path, help="folder of the rendered data sets")
    parser.add_argument("--run", type=Path, help="folder for this training run")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--onnx", type=Path, default=Path(__file__).with_name("codes.onnx"))
    parser.add_argument("--hours", type=float, default=0.85)
    arguments = parser.parse_args()
    if arguments.step == "tiles":
        train_tiles(arguments.data, arguments.run, arguments.hours)
    elif arguments.step == "finetune":
        finetune(arguments.data, arguments.run, arguments.weights, arguments.hours)
    elif arguments.step == "evaluate":
        print(json.dumps(evaluate(arguments.data, arguments.weights), indent=2))
    else:
        export(arguments.weights, arguments.onnx)


if __name__ == "__main__":
    main()
