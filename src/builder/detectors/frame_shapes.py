"""Whether a pipeline's frames are all of one size, or each the smallest that its picture needs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from builder.detectors.detector import Detector
from builder.detectors.heads import Head, Placement
from builder.errors import SettingsError
from builder.settings import BuildSettings, ExecutionProvider, Runtime, Shape

# Those of ultralytics, whose ``predict`` letterboxes to the smallest rectangle.
RECTANGLE_HEADS = frozenset({Head.YOLOV8, Head.END2END})


@dataclass(frozen=True)
class Framing:
    """How pictures become a network's frames.

    Attributes:
        width: of the largest frame, pixels.
        height: of the largest frame, pixels.
        placement: of a picture in its frame.
        stride: sides of frames are whole numbers of it, and no longer than the picture needs; None
            when all frames are of the largest size.
        least_side: no side of a frame is shorter, pixels.
    """

    width: int
    height: int
    placement: Placement
    stride: int | None = None
    least_side: int = 0


def framing_of(detector: Detector, shape: Shape) -> Framing:
    """Return how a detector's frames are made of pictures."""
    whole = Framing(detector.width, detector.height, detector.input.placement)
    if shape is Shape.SQUARE:
        return whole
    return replace(whole, stride=detector.stride, least_side=detector.least_side or 0)


def takes_rectangles(detector: Detector, settings: BuildSettings) -> bool:
    """Return whether frames are the smallest rectangles of the network's stride.

    By default they are where the detector's own tool has them so and the network can take them.

    Raises:
        SettingsError: they are to be, and cannot.
    """
    why_not = why_one_size(detector, settings)
    if settings.shape is Shape.RECT and why_not:
        raise SettingsError(f"--shape rect is not possible ({why_not}): leave it out")
    if settings.shape is not None:
        return settings.shape is Shape.RECT
    return detector.head in RECTANGLE_HEADS and not why_not


def why_one_size(detector: Detector, settings: BuildSettings) -> str:
    """Return why frames have to be of one size, in words; nothing if they need not."""
    if detector.least_side is None:
        return detector.one_size or "the network takes one size only"
    if settings.runtime is Runtime.TENSORRT:
        return "a TensorRT plan is compiled for one size"
    tensorrt = settings.execution_provider is ExecutionProvider.TENSORRT
    if settings.runtime is Runtime.ONNXRUNTIME and tensorrt:
        return "TensorRT inside ONNX Runtime would compile the network anew for every size"
    return ""
