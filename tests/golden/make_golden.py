"""Make nms.npz and letterbox.json beside this file, with ultralytics' own functions.

Run it where ultralytics and a working torchvision are installed, and commit what it writes:

    python tests/golden/make_golden.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import torchvision
import ultralytics
from ultralytics.data.augment import LetterBox
from ultralytics.utils.nms import non_max_suppression
from ultralytics.utils.ops import scale_boxes, xywh2xyxy

HERE = Path(__file__).parent
FRAME_SIZES = ((640, 640), (384, 640), (320, 192))  # height, width
NMS_CASES = (
    {"classes": 1, "anchors": 400, "spread": 200.0},
    {"classes": 4, "anchors": 1000, "spread": 150.0},
    {"classes": 80, "anchors": 1000, "spread": 60.0},
    {"classes": 80, "anchors": 600, "spread": 60.0, "agnostic": True},
    {"classes": 80, "anchors": 600, "spread": 100.0, "only": [0, 7, 79]},
    {"classes": 3, "anchors": 500, "spread": 400.0, "max_det": 10},
    {"classes": 2, "anchors": 300, "spread": 80.0, "iou": 0.0},
    {"classes": 2, "anchors": 300, "spread": 80.0, "iou": 1.0},
    {"classes": 5, "anchors": 800, "spread": 90.0, "conf": 0.6, "iou": 0.45},
    {"classes": 2, "anchors": 500, "spread": 40.0, "whole_pixels": True, "iou": 0.5},
    # All in the last class, whose offset costs the boxes most of their fraction.
    {"classes": 80, "anchors": 1500, "spread": 60.0, "crowded": True, "iou": 0.6, "max_det": 1000},
)


def nms_case(seed: int, case: dict) -> dict[str, np.ndarray]:
    """Random candidates, the thresholds, and what ultralytics keeps of them."""
    rng = np.random.default_rng(seed)
    anchors, classes = case["anchors"], case["classes"]
    centre = rng.normal(320, case["spread"], (anchors, 2))
    size = rng.uniform(10, 120, (anchors, 2))
    if case.get("whole_pixels"):  # many overlaps that are exactly equal
        centre, size = centre.round(), 2 * (size / 8).round() * 4 + 8
    scores = rng.uniform(0, 1, (anchors, classes)) ** 3
    if case.get("crowded"):
        scores[:, :-1] *= 0.01
    raw = torch.tensor(np.concatenate([centre, size, scores], 1), dtype=torch.float32)
    conf, iou = case.get("conf", 0.25), case.get("iou", 0.7)
    kept = non_max_suppression(
        raw.T[None].clone(),
        conf_thres=conf,
        iou_thres=iou,
        classes=case.get("only"),
        agnostic=case.get("agnostic", False),
        max_det=case.get("max_det", 300),
        nc=classes,
    )[0]
    best, index = raw[:, 4:].max(1)
    candidates = torch.cat([xywh2xyxy(raw[:, :4]), best[:, None], index[:, None].float()], 1)
    order = torch.argsort(best, descending=True, stable=True)
    thresholds = {
        "conf": conf,
        "iou": iou,
        "max_det": case.get("max_det", 300),
        "classes": case.get("only"),
        "class_agnostic": case.get("agnostic", False),
    }
    return {
        "candidates": candidates[order].numpy(),
        "kept": kept.numpy(),
        "thresholds": np.array(json.dumps(thresholds)),
    }


def letterbox_cases() -> list[dict]:
    """Where ultralytics puts images of many sizes, and where it puts a box back."""
    rng = np.random.default_rng(7)
    odd = rng.integers(1, 4000, (60, 2)).tolist()
    known = [[1080, 1920], [480, 640], [640, 640], [1, 3000], [3000, 1], [333, 517], [2160, 3840]]
    cases = []
    for height, width in [*known, *odd]:
        for frame in FRAME_SIZES:
            params = LetterBox(frame, auto=False).get_params(
                {"img": np.empty((height, width, 3), np.uint8)}
            )
            box = torch.tensor([[10.3, 20.7, 600.1, 300.9]])
            cases.append(
                {
                    "source": [height, width],
                    "frame": list(frame),
                    "resized": [params["new_unpad"][1], params["new_unpad"][0]],
                    "padding": [params[side] for side in ("top", "bottom", "left", "right")],
                    "box": box[0].tolist(),
                    "box_in_source": scale_boxes(frame, box.clone(), (height, width))[0].tolist(),
                }
            )
    return cases


def rectangle_cases() -> list[dict]:
    """The smallest rectangles that ultralytics pads the same images to, and where they lie."""
    cases = []
    for case in letterbox_cases():
        height, width = case["source"]
        for stride in (32, 64):
            params = LetterBox(case["frame"], auto=True, stride=stride).get_params(
                {"img": np.empty((height, width, 3), np.uint8)}
            )
            resized = [params["new_unpad"][1], params["new_unpad"][0]]
            padding = [params[side] for side in ("top", "bottom", "left", "right")]
            frame = [resized[0] + sum(padding[:2]), resized[1] + sum(padding[2:])]
            cases.append(
                {
                    "source": case["source"],
                    "largest": case["frame"],
                    "stride": stride,
                    "frame": frame,
                    "resized": resized,
                    "padding": padding,
                }
            )
    return cases


def main() -> None:
    """Write both files."""
    arrays = {
        f"{number}_{name}": array
        for number, case in enumerate(NMS_CASES)
        for name, array in nms_case(number, case).items()
    }
    np.savez_compressed(HERE / "nms.npz", **arrays)
    versions = {
        "ultralytics": ultralytics.__version__,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }
    (HERE / "letterbox.json").write_text(
        json.dumps(
            {
                "versions": versions,
                "cases": letterbox_cases(),
                "rectangles": rectangle_cases(),
            }
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
