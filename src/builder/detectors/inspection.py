"""What a model file is, and what a build would make of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import onnx

from builder.detectors.detector import Detector, read_detector
from builder.detectors.frame_shapes import takes_rectangles, why_one_size
from builder.detectors.graph_facts import dims_of, image_input
from builder.detectors.heads import Head
from builder.detectors.onnx_file import load_onnx, metadata_of, sha256_of
from builder.errors import BuilderError
from builder.network_graph import candidate_rows, network_graph
from builder.settings import PREDICT_DEFAULTS, BuildSettings, NmsDefaults, Shape
from builder.trial.network_trial import Trial, try_network

# Of pipelines that are built only to see whether they can be.
TRIAL_NAME = "trial"


@dataclass(frozen=True)
class TensorFacts:
    """An input or output: its name, ONNX type and dims, where text is the name of an open dim."""

    name: str
    type: str
    dims: tuple[int | str, ...]


@dataclass(frozen=True)
class DetectorFacts:
    """How a detector is read.

    Attributes:
        head: its family.
        reason: what gave the head away.
        channels: ``rgb`` or ``bgr``.
        pixel_range: what black and white are to the network.
        placement: of the image in the frame.
        width: of the input, in pixels.
        height: of the input, in pixels.
        batch: the only batch size it takes, or None for any.
        one_batch: why it takes only that, in words.
        shape: of the frames that a pipeline of it gets by default: ``rect`` or ``square``.
        one_size: why frames have to be of one size, in words; nothing where they need not.
        stride: sides of frames are multiples of it, pixels.
        boxes: it gives for an image; None where nobody can tell.
        labels: class names, in class order.
        labels_are_names: whether somebody gave them.
        finished: whether the graph suppresses overlaps itself.
        defaults: thresholds that requests get by default, the model's own or predict's.
        own_defaults: which of them the model brings.
        candidates: rows that would leave the network.
        trial: what the network did when it was tried; None where the rest is refused already.
    """

    head: Head
    reason: str
    channels: str
    pixel_range: tuple[int, int]
    placement: str
    width: int
    height: int
    batch: int | None
    one_batch: str
    shape: str
    one_size: str
    stride: int
    boxes: int | None
    labels: tuple[str, ...]
    labels_are_names: bool
    finished: bool
    defaults: NmsDefaults
    own_defaults: tuple[str, ...]
    candidates: int
    trial: Trial | None


@dataclass(frozen=True)
class Inspection:
    """What a model file is.

    Attributes:
        size_bytes: of the ONNX file.
        sha256: of the ONNX file.
        producer: program and version that wrote it.
        description: of its metadata.
        opsets: version of each operator domain; the default domain is called ``ai.onnx``.
        inputs: without weights.
        outputs: in order.
        parameters: numbers in its weights.
        weights: parameters of each ONNX type.
        detector: how it is read; None where it cannot be.
        refusal: why ``framewire build`` would not take it; None where it would.
    """

    size_bytes: int
    sha256: str
    producer: str
    description: str
    opsets: dict[str, int]
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    parameters: int
    weights: dict[str, int]
    detector: DetectorFacts | None
    refusal: str | None


def inspect_model(
    path: Path,
    *,
    head: Head | None = None,
    size: tuple[int, int] | None = None,
    labels: tuple[str, ...] | None = None,
    number_classes: bool = False,
) -> Inspection:
    """Look at an ONNX file and try what a build would do with it, the network's run included.

    Nothing is written.

    Args: as of :func:`builder.detectors.detector.read_detector`.

    Raises:
        ModelFileError: it is no ONNX file, or a damaged one.
    """
    model = load_onnx(path)
    facts, refusal = None, None
    try:
        detector = read_detector(
            path, head=head, size=size, labels=labels, number_classes=number_classes
        )
        facts = _detector_facts(detector, path.name)
    except BuilderError as error:
        refusal = str(error)
        facts = _without_labels(path, head, size)
    weights = _weights(model)
    return Inspection(
        size_bytes=path.stat().st_size,
        sha256=sha256_of(path),
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        description=metadata_of(model).get("description", "").strip(),
        opsets={entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        inputs=tuple(map(_tensor_facts, image_input(model))),
        outputs=tuple(map(_tensor_facts, model.graph.output)),
        parameters=sum(weights.values()),
        weights=weights,
        detector=facts,
        refusal=refusal,
    )


def _without_labels(
    path: Path, head: Head | None, size: tuple[int, int] | None
) -> DetectorFacts | None:
    # Names are the one thing a user may still have to bring.
    try:
        detector = read_detector(path, head=head, size=size, number_classes=True)
    except BuilderError:
        return None
    return _detector_facts(detector)


def _detector_facts(detector: Detector, tried_name: str | None = None) -> DetectorFacts:
    settings = BuildSettings(TRIAL_NAME).with_defaults(detector.defaults)
    trial = None
    if tried_name is not None:
        network = network_graph(detector, settings)
        trial = try_network(network, detector, settings, name=tried_name)
    own = {name: value for name, value in vars(detector.defaults).items() if value is not None}
    return DetectorFacts(
        head=detector.head,
        reason=detector.reason,
        channels="bgr" if detector.input.bgr else "rgb",
        pixel_range=(0, 255 // detector.input.pixel_scale),
        placement=detector.input.placement.value,
        width=detector.width,
        height=detector.height,
        batch=detector.fixed_batch,
        one_batch=detector.one_batch,
        shape=(Shape.RECT if takes_rectangles(detector, settings) else Shape.SQUARE).value,
        one_size=why_one_size(detector, settings),
        stride=detector.stride,
        boxes=detector.boxes,
        labels=detector.labels,
        labels_are_names=detector.labels_are_names,
        finished=detector.finished,
        defaults=NmsDefaults(**{**vars(PREDICT_DEFAULTS), **own}),
        own_defaults=tuple(own),
        candidates=candidate_rows(detector, settings),
        trial=trial,
    )


def _tensor_facts(value: onnx.ValueInfoProto) -> TensorFacts:
    names = [dim.dim_param or "?" for dim in value.type.tensor_type.shape.dim]
    dims = (
        name if size is None else size for name, size in zip(names, dims_of(value), strict=True)
    )
    kind = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type)
    return TensorFacts(value.name, kind, tuple(dims))


def _weights(model: onnx.ModelProto) -> dict[str, int]:
    counts: Counter[str] = Counter()
    tensors = [*model.graph.initializer, *_constants(model)]
    for tensor in tensors:
        size = 1
        for dim in tensor.dims:
            size *= dim
        counts[onnx.TensorProto.DataType.Name(tensor.data_type)] += size
    return dict(counts.most_common())


def _constants(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    return [
        attribute.t
        for node in model.graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    ]
