"""Which real architectures the tests have ultralytics build and export."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

DEFAULT_OPTIONS = {"dynamic": True}
# What ultralytics 8.4 calls the head without NMS.
END2END = {"dynamic": True, "nms": False}


@dataclass(frozen=True)
class Architecture:
    """A network to export.

    Attributes:
        name: of the file.
        yaml: the architecture, as ultralytics names it.
        classes: how many.
        size: width and height of its input.
        options: of the export.
        all_scores: RT-DETR as ultralytics exported it up to 8.3, with the scores of every class.
    """

    name: str
    yaml: str
    classes: int = 3
    size: tuple[int, int] = (320, 192)
    options: dict[str, Any] = field(default_factory=DEFAULT_OPTIONS.copy)
    all_scores: bool = False


ARCHITECTURES = (
    Architecture("yolov8n", "yolov8n.yaml", classes=80, size=(320, 320)),
    Architecture("yolov9t", "yolov9t.yaml"),
    Architecture(
        "yolo11n-opset11", "yolo11n.yaml", classes=2, options={"dynamic": True, "opset": 11}
    ),
    Architecture("yolo11n-fp16", "yolo11n.yaml", options={"dynamic": True, "quantize": 16}),
    Architecture("yolo12n-batch1", "yolo12n.yaml", size=(320, 320), options={}),
    Architecture("yolov10n", "yolov10n.yaml", classes=80, options=END2END),
    Architecture("yolo26n", "yolo26n.yaml", size=(256, 320), options=END2END),
    Architecture("yolo26n-one-to-many", "yolo26n.yaml", classes=1),
    Architecture("rtdetr", "rtdetr-resnet50.yaml", size=(320, 320)),
    Architecture("rtdetr-8.3", "rtdetr-resnet50.yaml", classes=80, options={}, all_scores=True),
)
