"""An ONNX detector: its graph, its head, its input and its labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto

from builder.detectors.graph_facts import dims_of, image_input, show_tensor
from builder.detectors.head_layouts import Recognition
from builder.detectors.heads import Head, InputConvention, grid_cells
from builder.detectors.metadata import class_names, image_size, one_line, stride
from builder.detectors.onnx_file import load_onnx, metadata_of, onnx_opset, sha256_of
from builder.detectors.open_sizes import open_sizes
from builder.detectors.recognition import recognise
from builder.errors import LabelsError, ModelFileError
from builder.settings import NmsDefaults, Precision
from builder.surgery.nms_nodes import NmsNode

DEFAULT_IMAGE_SIZE = 640
LARGEST_IMAGE_SIZE = 8192
# Every released YOLO has this stride at its coarsest, except the P6 variants, which have 64.
DEFAULT_STRIDE = 32
# Characters of metadata in a refusal.
SHOWN_NAMES = 60
# GatherElements and TopK with an order came with it, and every exporter has it.
OLDEST_OPSET = 11
NEWEST_OPSET = onnx.defs.onnx_opset_version()


@dataclass(frozen=True)
class Detector:
    """An ONNX detector and what its shapes and metadata say.

    Attributes:
        model: the ONNX model as it was read; its sizes and its batch opened, where they can be.
        head: how its output is to be read.
        labels: class names, in class order.
        labels_are_names: whether somebody gave them; else they are class_0, class_1, ...
        width: of its input, in pixels.
        height: of its input, in pixels.
        fixed_batch: the only batch size the graph takes, or None when any will do.
        boxes: that the head gives for each image, anchors or rows; None where nobody can tell.
        input: what the network was trained to see.
        defaults: thresholds the file brings with it.
        finished: whether the graph suppresses overlaps itself.
        nms: what the graph ends in, where boxes and scores are taken before it.
        precision: of its weights.
        reason: what gave its head away, in words.
        sha256: of the file.
        stride: of its coarsest feature map, in pixels: sides of frames are multiples of it.
        least_side: the shortest side that frames may have; None when it takes one size only.
        one_size: why it does, in words.
        one_batch: why it takes one batch only, in words.
    """

    model: onnx.ModelProto
    head: Head
    labels: tuple[str, ...]
    labels_are_names: bool
    width: int
    height: int
    fixed_batch: int | None
    boxes: int | None
    input: InputConvention
    defaults: NmsDefaults
    finished: bool
    precision: Precision
    reason: str
    sha256: str
    nms: NmsNode | None = None
    stride: int = DEFAULT_STRIDE
    least_side: int | None = None
    one_size: str = ""
    one_batch: str = ""


def read_detector(
    path: Path,
    *,
    head: Head | None = None,
    size: tuple[int, int] | None = None,
    labels: tuple[str, ...] | None = None,
    number_classes: bool = False,
) -> Detector:
    """Read an ONNX detector of any known head.

    Args:
        path: an ``.onnx`` file.
        head: how to read its output; told from the graph when None.
        size: width and height of the input, for a graph that leaves them open; what its metadata
            say when None.
        labels: class names, before those in its metadata.
        number_classes: whether a detector without class names gets class_0, class_1, ...

    Raises:
        ModelFileError: there is no such file, it is not ONNX, or it is no detector.
        UnknownHeadError: its outputs have another layout.
        LabelsError: there are no class names, or not as many as classes.
    """
    model = load_onnx(path)
    metadata = metadata_of(model)
    _check_kind(path, model, metadata)
    batch, width, height = _input_size(path, model, metadata, size)
    names = labels if labels is not None else class_names(metadata)
    found = recognise(
        model,
        name=path.name,
        width=width,
        height=height,
        num_labels=None if names is None else len(names),
        head=head,
        metadata=metadata,
    )
    _check_rows(path, found, width, height)
    detector = Detector(
        model=model,
        head=found.head,
        labels=_labels(
            path,
            names,
            found.classes,
            from_file=labels is not None,
            number_classes=number_classes,
            unread=metadata.get("names"),
        ),
        labels_are_names=names is not None,
        width=width,
        height=height,
        fixed_batch=batch,
        boxes=found.boxes,
        input=found.input,
        defaults=found.defaults,
        finished=found.finished,
        precision=_precision(model),
        reason=found.reason,
        sha256=sha256_of(path),
        nms=found.nms,
        stride=stride(metadata, DEFAULT_STRIDE),
    )
    return open_sizes(detector)


def _check_kind(path: Path, model: onnx.ModelProto, metadata: dict[str, str]) -> None:
    task = metadata.get("task", "detect")
    if task != "detect":
        raise ModelFileError(
            f"{path.name} is a model for the task {task!r}; Framewire serves detectors: "
            "export one trained with task 'detect'"
        )
    opset = onnx_opset(model)
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise ModelFileError(
            f"{path.name} uses ONNX opset {opset}; Framewire reads {OLDEST_OPSET} to "
            f"{NEWEST_OPSET}: export it again with opset=17"
        )


def _input_size(
    path: Path, model: onnx.ModelProto, metadata: dict[str, str], size: tuple[int, int] | None
) -> tuple[int | None, int, int]:
    inputs = image_input(model)
    floats = {TensorProto.FLOAT, TensorProto.FLOAT16}
    if (
        len(inputs) != 1
        or len(dims_of(inputs[0])) != 4
        or inputs[0].type.tensor_type.elem_type not in floats
    ):
        raise ModelFileError(
            f"{path.name} must take one image tensor [N, 3, height, width] of floats, it takes "
            f"{', '.join(map(show_tensor, inputs)) or 'none'}: export it with such an input"
        )
    batch, channels, height, width = dims_of(inputs[0])
    if channels not in {3, None}:
        raise ModelFileError(
            f"{path.name} takes {channels}-channel images and Framewire sends colour: use a "
            "detector for 3 channels"
        )
    wanted_width, wanted_height = size or image_size(metadata, DEFAULT_IMAGE_SIZE)
    if size is not None and (width or size[0], height or size[1]) != size:
        raise ModelFileError(
            f"{path.name} takes images of {width}x{height} only, not {size[0]}x{size[1]}: leave "
            "--size out, or export it with that size or with dynamic=True"
        )
    width, height = width or wanted_width, height or wanted_height
    _check_size(path, width, height, stride(metadata, DEFAULT_STRIDE))
    return batch, width, height


def _check_size(path: Path, width: int, height: int, step: int) -> None:
    for side in (width, height):
        if side % step or not 0 < side <= LARGEST_IMAGE_SIZE:
            raise ModelFileError(
                f"{path.name} has an input of {width}x{height}; both must be multiples of its "
                f"stride {step} up to {LARGEST_IMAGE_SIZE}: choose another --size, or export it "
                "with another imgsz"
            )


def _precision(model: onnx.ModelProto) -> Precision:
    sizes = {TensorProto.FLOAT: 0, TensorProto.FLOAT16: 0}
    for tensor in model.graph.initializer:
        if tensor.data_type in sizes:
            sizes[tensor.data_type] += math.prod(tensor.dims)
    half = sizes[TensorProto.FLOAT16] > sizes[TensorProto.FLOAT]
    return Precision.FP16 if half else Precision.FP32


def _check_rows(path: Path, found: Recognition, width: int, height: int) -> None:
    # The graph picks so many anchors itself, and cannot pick more than there are.
    cells = grid_cells(width, height)
    if found.head is Head.END2END and found.boxes is not None and found.boxes > cells:
        raise ModelFileError(
            f"{path.name} picks {found.boxes} boxes of an image, and {width}x{height} pixels give "
            f"only {cells}: choose a larger --size, or export it with a smaller max_det"
        )


def _labels(
    path: Path,
    names: tuple[str, ...] | None,
    classes: int | None,
    *,
    from_file: bool,
    number_classes: bool,
    unread: str | None,
) -> tuple[str, ...]:
    if names is None:
        why = "" if unread is None else _why_unread(unread)
        if classes is None:
            raise LabelsError(
                f"{path.name} carries no class names{why} and its outputs do not show how many "
                "classes there are: name them with --labels FILE, one to a line"
            )
        if not number_classes:
            raise LabelsError(
                f"{path.name} carries no class names for its {classes} classes{why}: name them "
                "with --labels FILE, one to a line, or let --number-classes call them class_0, "
                "class_1, ..."
            )
        return tuple(f"class_{index}" for index in range(classes))
    if classes is not None and len(names) != classes:
        source = "--labels" if from_file else "its metadata"
        raise LabelsError(
            f"{path.name} has {classes} classes and {source} names {len(names)}: give exactly "
            f"{classes} names with --labels FILE, one to a line"
        )
    return names


def _why_unread(names: str) -> str:
    shown = one_line(names[:SHOWN_NAMES]) + ("..." if len(names) > SHOWN_NAMES else "")
    return (
        f" (`names` in its metadata, {shown!r}, are neither a list nor a mapping from 0, 1, 2, ... "
        "in Python, JSON or YAML)"
    )
