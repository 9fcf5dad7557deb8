"""The families of detectors Framewire serves: how their input is made and their output is read."""

from __future__ import annotations

import enum
from dataclasses import dataclass

YOLO_STRIDES = (8, 16, 32)


class Head(str, enum.Enum):
    """A family of output layouts; N images, A anchors, K rows, pixels of the network's input."""

    YOLOV8 = "yolov8"
    """YOLOv8, v9, 11, 12: ``[N, 4 + classes, A]``: centre, size, class scores."""
    END2END = "end2end"
    """YOLOv10, YOLO26, exports with NMS: ``[N, K, 6]``: corners, score, class; no NMS to do."""
    RTDETR = "rtdetr"
    """RT-DETR: ``[N, K, 4 + classes]``, centre and size from 0 to 1, or ``[N, K, 6]``: centre,
    size, score, class; no NMS to do."""
    YOLOV5 = "yolov5"
    """Classic YOLOv5, v6, v7: ``[N, A, 5 + classes]``: centre, size, objectness, class scores."""
    YOLOX = "yolox"
    """YOLOX: ``[N, A, 5 + classes]`` whose boxes are offsets and logarithms in a grid."""
    NMS = "nms"
    """A graph that ends in NMS: EfficientNMS_TRT, BatchedNMS*_TRT or ONNX NonMaxSuppression."""


LAYOUTS = {
    Head.YOLOV8: "[N, 4 + classes, anchors]",
    Head.END2END: "[N, rows, 6]",
    Head.RTDETR: "[N, rows, 4 + classes] or [N, rows, 6]",
    Head.YOLOV5: "[N, anchors, 5 + classes]",
    Head.YOLOX: "[N, anchors, 5 + classes], grid not decoded",
    Head.NMS: "the outputs of EfficientNMS, BatchedNMS or NonMaxSuppression",
}


def known_layouts() -> str:
    """Return the heads and their layouts in one line, for refusals."""
    return "; ".join(f"{head.value}: {layout}" for head, layout in LAYOUTS.items())


class Placement(str, enum.Enum):
    """How a source image is fitted into the network's frame."""

    CENTRE = "centre"
    """Aspect ratio kept, padded with grey on both sides, as ultralytics does."""
    TOP_LEFT = "top_left"
    """Aspect ratio kept, padded on the right and at the bottom, as YOLOX does."""
    STRETCH = "stretch"
    """Stretched to fill the frame, as RT-DETR has it."""


@dataclass(frozen=True)
class InputConvention:
    """What the network was trained to see.

    Attributes:
        placement: of the image in the frame.
        pixel_scale: a pixel of this value is 1 to the network: 255 for 0 to 1, 1 for 0 to 255.
        bgr: whether the first channel is blue.
    """

    placement: Placement = Placement.CENTRE
    pixel_scale: int = 255
    bgr: bool = False


# YOLOX 0.3 and later; ``ValTransform`` of its data augmentation.
YOLOX_INPUT = InputConvention(Placement.TOP_LEFT, pixel_scale=1, bgr=True)
RTDETR_INPUT = InputConvention(Placement.STRETCH)
YOLO_INPUT = InputConvention()


def grid_cells(width: int, height: int, strides: tuple[int, ...] = YOLO_STRIDES) -> int:
    """Return how many cells the feature maps of these strides have in all."""
    return sum((height // stride) * (width // stride) for stride in strides)
