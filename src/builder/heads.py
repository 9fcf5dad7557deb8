"""Which detector family an ONNX file is, read from its shapes and metadata."""

from __future__ import annotations

import ast
import enum
import hashlib
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto

from builder.errors import ModelFileError, UnknownHeadError
from builder.settings import NmsDefaults
from builder.surgery.candidates import onnx_opset

DEFAULT_IMAGE_SIZE = 640
LARGEST_IMAGE_SIZE = 8192
MOST_CLASSES = 10_000
# Unsqueeze takes its axes as an input from here on, and every exporter of these families has it.
OLDEST_OPSET = 13
# Strides of the three feature maps of every YOLOv8 to YOLO12 detection head.
ANCHOR_STRIDES = (8, 16, 32)
KNOWN_LAYOUTS = "YOLOv8, v9, 11, 12: one output [N, 4 + classes, anchors]"


class Head(str, enum.Enum):
    """A family of output layouts."""

    YOLOV8 = "yolov8"
    """YOLOv8, v9, 11, 12: ``[N, 4 + classes, anchors]``, no objectness."""
    END2END = "end2end"
    """YOLOv10, YOLO26 and exports with NMS: ``[N, K, 6]``, finished detections."""
    RTDETR = "rtdetr"
    """RT-DETR: ``[N, K, 4 + classes]``, boxes from 0 to 1, no NMS, stretched input."""
    YOLOV5 = "yolov5"
    """Classic YOLOv5, v6, v7: ``[N, anchors, 5 + classes]`` with objectness."""
    YOLOX = "yolox"
    """``[N, anchors, 5 + classes]`` before the grid is decoded; BGR 0 to 255, top-left."""
    NMS = "nms"
    """A graph that ends in NMS: EfficientNMS_TRT, BatchedNMS, ONNX NonMaxSuppression."""

    @property
    def needs_nms(self) -> bool:
        """Whether its boxes overlap until somebody suppresses them."""
        return self not in {Head.END2END, Head.RTDETR}


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


@dataclass(frozen=True)
class Detector:
    """An ONNX detector and what its shapes and metadata say.

    Attributes:
        model: the ONNX model as it was read.
        head: how its output is to be read.
        labels: class names, in class order.
        width: of its input, in pixels.
        height: of its input, in pixels.
        fixed_batch: the only batch size the graph takes, or None when any will do.
        anchors: boxes that the head gives for each image.
        input: what the network was trained to see.
        defaults: thresholds the file brings with it.
        sha256: of the file.
    """

    model: onnx.ModelProto
    head: Head
    labels: tuple[str, ...]
    width: int
    height: int
    fixed_batch: int | None
    anchors: int
    input: InputConvention
    defaults: NmsDefaults
    sha256: str


def read_detector(path: Path) -> Detector:
    """Read an ONNX file that ultralytics exported from a YOLOv8 or YOLO11 detector.

    Raises:
        ModelFileError: there is no such file, it is not ONNX, or it is no detector.
        UnknownHeadError: its outputs have another layout.
    """
    model = _load(path)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    task = metadata.get("task", "detect")
    if task != "detect":
        raise ModelFileError(
            f"{path.name} is a model for the task {task!r}; Framewire serves detectors: "
            "export one trained with task 'detect'"
        )
    if onnx_opset(model) < OLDEST_OPSET:
        raise ModelFileError(
            f"{path.name} uses ONNX opset {onnx_opset(model)}; Framewire needs {OLDEST_OPSET} or "
            "later: export it again with opset=17"
        )
    channels, height, width, batch = _image_input(path, model, metadata)
    if channels != 3:
        raise ModelFileError(f"{path.name} takes {channels}-channel images; Framewire sends colour")
    _check_size(path, width, height)
    if batch not in {None, 1}:
        raise ModelFileError(
            f"{path.name} takes exactly {batch} images at a time, and requests do not come in such "
            "batches: export it with dynamic=True, or with batch=1"
        )
    rows = _head_rows(path, model)
    labels = _labels(metadata, rows - 4)
    return Detector(
        model=model,
        head=Head.YOLOV8,
        labels=labels,
        width=width,
        height=height,
        fixed_batch=batch,
        anchors=sum((height // stride) * (width // stride) for stride in ANCHOR_STRIDES),
        input=InputConvention(),
        defaults=NmsDefaults(),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def _check_size(path: Path, width: int, height: int) -> None:
    for size in (width, height):
        if size % ANCHOR_STRIDES[-1] or not 0 < size <= LARGEST_IMAGE_SIZE:
            raise ModelFileError(
                f"{path.name} has an input of {width}x{height}; both must be multiples of "
                f"{ANCHOR_STRIDES[-1]} up to {LARGEST_IMAGE_SIZE}: export it with another imgsz"
            )


def _load(path: Path) -> onnx.ModelProto:
    try:
        found = path.is_file()
    except (OSError, ValueError):
        found = False
    if not found:
        raise ModelFileError(f"there is no model file {path}: check the path")
    if path.suffix.lower() != ".onnx":
        raise ModelFileError(
            f"{path.name} is not an .onnx file: export it first, for instance with "
            "`yolo export model=MODEL.pt format=onnx dynamic=True`"
        )
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:
        raise ModelFileError(
            f"{path.name} is not a valid ONNX model ({first_line(error)}): export it again"
        ) from error
    return model


def first_line(error: Exception) -> str:
    """Return the first line of an exception's message, or its name when it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _dims(value: onnx.ValueInfoProto) -> list[int | None]:
    # Some exporters write 0 or -1 for a size that is open.
    shape = value.type.tensor_type.shape
    return [dim.dim_value if dim.dim_value > 0 else None for dim in shape.dim]


def _show_outputs(model: onnx.ModelProto) -> str:
    shapes = (
        f"{value.name} {['?' if size is None else size for size in _dims(value)]}"
        for value in model.graph.output
    )
    return ", ".join(shapes).replace("'", "")


def _image_input(
    path: Path, model: onnx.ModelProto, metadata: dict[str, str]
) -> tuple[int, int, int, int | None]:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    element_types = {TensorProto.FLOAT, TensorProto.FLOAT16}
    if (
        len(inputs) != 1
        or len(_dims(inputs[0])) != 4
        or inputs[0].type.tensor_type.elem_type not in element_types
    ):
        raise ModelFileError(
            f"{path.name} must take one image tensor [N, 3, height, width] of floats, it takes "
            f"{[(value.name, _dims(value)) for value in inputs]}"
        )
    batch, channels, height, width = _dims(inputs[0])
    default_height, default_width = _metadata_size(metadata)
    return channels or 3, height or default_height, width or default_width, batch


def _one_line(label: str) -> str:
    # labels.txt holds a label to a line, and protobuf takes no half of a surrogate pair.
    encodable = label.encode(errors="replace").decode()
    return " ".join(encodable.split()) or "unnamed"


def _metadata_size(metadata: dict[str, str]) -> tuple[int, int]:
    size = _literal(metadata.get("imgsz", ""), DEFAULT_IMAGE_SIZE)
    if isinstance(size, int):
        return size, size
    if isinstance(size, (list, tuple)) and len(size) == 2 and all(type(n) is int for n in size):
        return size[0], size[1]
    return DEFAULT_IMAGE_SIZE, DEFAULT_IMAGE_SIZE


def _literal(text: str, default: object) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return default


def _head_rows(path: Path, model: onnx.ModelProto) -> int:
    outputs = [_dims(value) for value in model.graph.output]
    if len(outputs) == 1 and len(outputs[0]) == 3:
        rows, anchors = outputs[0][1], outputs[0][2]
        # Some exporters leave the rows symbolic; shape inference fills in what follows.
        rows = rows if rows is not None else _inferred_rows(model)
        rows_fit = rows is not None and 4 < rows <= 4 + MOST_CLASSES
        if rows is not None and rows_fit and (anchors is None or anchors > rows):
            return rows
    raise UnknownHeadError(
        f"{path.name} has outputs {_show_outputs(model)}, which is no layout Framewire knows "
        f"({KNOWN_LAYOUTS}): export a YOLOv8 or YOLO11 detector without NMS"
    )


def _inferred_rows(model: onnx.ModelProto) -> int | None:
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    rows = _dims(inferred.graph.output[0])[1]
    if rows is not None:
        return rows
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    names = _literal(metadata.get("names", ""), None)
    return 4 + len(names) if isinstance(names, (dict, list)) else None


def _labels(metadata: dict[str, str], num_classes: int) -> tuple[str, ...]:
    names = _literal(metadata.get("names", ""), None)
    if isinstance(names, list):
        names = dict(enumerate(names))
    if isinstance(names, dict) and set(names) == set(range(num_classes)):
        return tuple(_one_line(str(names[index])) for index in range(num_classes))
    return tuple(f"class_{index}" for index in range(num_classes))
