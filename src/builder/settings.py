"""What a build can be told, checked once."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, fields, replace
from typing import Any

from builder.errors import SettingsError
from thin_client.contract import DamagedImages

# What is safe as a folder name, a Triton model name and part of a Prometheus label.
PIPELINE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
RESERVED_SUFFIXES = (
    "_bls",
    "_preprocess",
    "_network",
    "_postprocess",
    "_stream",
    "_decode",
    "_detect",
)


class Precision(str, enum.Enum):
    """Of the network's weights and arithmetic, where its runtime can choose."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"
    """Q/DQ nodes in the graph: the body in int8, the head in float32."""
    BF16 = "bf16"
    """float32 weights; OpenVINO computes in bfloat16 where the processor does."""


class Runtime(str, enum.Enum):
    """What runs the network inside Triton."""

    PYTHON = "python"
    """OpenVINO in Triton's Python backend: the embedded server, any processor."""
    ONNXRUNTIME = "onnxruntime"
    """Triton's own ONNX Runtime backend, in NVIDIA's container."""
    TENSORRT = "tensorrt"
    """A plan, compiled by `framewire engine` on the GPU that serves it."""


class ExecutionProvider(str, enum.Enum):
    """What computes in Triton's ONNX Runtime backend."""

    AUTO = "auto"
    """CUDA where Triton finds a GPU, else the processor."""
    CPU = "cpu"
    CUDA = "cuda"
    TENSORRT = "tensorrt"
    """TensorRT inside ONNX Runtime: it compiles the network when the model is loaded."""


class Decoder(str, enum.Enum):
    """How a JPEG is decoded that is at least twice as large as it is drawn in the frame."""

    EXACT = "exact"
    """Every pixel, then sampled bilinearly: the boxes of ultralytics' ``predict``."""
    SCALED = "scaled"
    """To 1/2, 1/4 or 1/8 while its DCT is undone: less work, other pixels."""


class Shape(str, enum.Enum):
    """Of the frames that the network sees."""

    RECT = "rect"
    """The smallest rectangle that holds the picture, as ultralytics' ``predict`` has it: sides are
    multiples of the network's stride."""
    SQUARE = "square"
    """The network's whole input, whatever the picture is like."""


class Nms(str, enum.Enum):
    """Where overlapping boxes are suppressed, for heads that need it."""

    PYTHON = "python"
    """In the postprocess step: every request may choose its overlap threshold."""
    GRAPH = "graph"
    """In the network's graph, with the thresholds of the build."""


class Track(str, enum.Enum):
    """Which streams have a tracker."""

    ASKED = "asked"
    """Those that send ``detect_fps`` or a parameter of tracking."""
    ALL = "all"
    OFF = "off"
    """None: a frame that nobody looked at has a status of its own."""


@dataclass(frozen=True)
class BuildSettings:
    """Settings of one pipeline.

    Attributes:
        name: the pipeline's name, and the ensemble's in Triton.
        conf: default score threshold, 0 to 1.
        iou: default overlap for NMS, 0 to 1.
        max_det: rows of the outputs and the most detections of an image.
        class_agnostic: whether boxes of different classes suppress each other by default.
        multi_label: whether one box may be several detections of different classes, as ultralytics'
            ``val`` counts them; ``predict`` gives each box its best class.
        candidates: rows that leave the network; more than can pass a sensible threshold.
        max_batch: the largest batch of one request and of one run of the network.
        max_image_bytes: a larger file is refused.
        max_image_pixels: an image with more pixels is refused before it is decoded.
        precision: of the network.
        runtime: of the network.
        nms: where overlapping boxes are suppressed.
        execution_provider: of the runtime ``onnxruntime``.
        decoder: of JPEGs much larger than the network's input.
        damaged: what becomes of damaged JPEGs when a request does not say.
        shape: of the frames; None for what the detector's own tool has where the network can.
        instances: processes that decode at once, of each variant; they share the cores.
        decode_threads: of each of these processes; 0 for its share of the cores, or more where a
            client's batch is large.
        max_queue: requests that wait for each variant's first step at most; one more is refused at
            once. Behind it frames are made no faster than the network takes them.
        queue_timeout_ms: that a request waits there at most; then it is refused.
        stream: whether the pipeline takes streams of video packets too.
        max_streams: open at once on a server.
        max_stream_pixels: a stream of larger frames is refused.
        max_packet_bytes: a larger packet is refused.
        max_stream_memory: bytes that the decoders of all streams of a server may need.
        stream_idle_s: a stream without packets for longer is closed.
        track: which streams have a tracker.
        stream_share: of the network's time that streams have while pictures wait too, 0 to 1.

    ``conf``, ``iou``, ``max_det``, ``class_agnostic`` and ``multi_label`` may be None: then they
    are what the model's own NMS says if it has one, else :data:`PREDICT_DEFAULTS`;
    :meth:`with_defaults` fills them in.

    Raises:
        SettingsError: on creation, when a value is out of range.
    """

    name: str
    conf: float | None = None
    iou: float | None = None
    max_det: int | None = None
    class_agnostic: bool | None = None
    multi_label: bool | None = None
    candidates: int = 1000
    max_batch: int = 16
    max_image_bytes: int = 64 * 2**20
    max_image_pixels: int = 100_000_000
    precision: Precision = Precision.FP32
    runtime: Runtime = Runtime.PYTHON
    nms: Nms = Nms.PYTHON
    execution_provider: ExecutionProvider = ExecutionProvider.AUTO
    decoder: Decoder = Decoder.EXACT
    damaged: DamagedImages = DamagedImages.REFUSE
    shape: Shape | None = None
    instances: int = 2
    decode_threads: int = 0
    # Twice as many as `framewire bench` has in flight at most: a full queue is 2.8 s of the 180
    # images a second that two cores were measured to carry, 0.4 s of a GPU's assumed 1,400. What
    # clients have given up stays in it until the next batch is taken, in the place of others.
    max_queue: int = 512
    # Twice as long as framewire-client waits for an answer: what is older nobody waits for. Full
    # queues of slow networks must not reach it: 256 requests took 25 s on two busy cores.
    queue_timeout_ms: int = 60_000
    stream: bool = False
    max_streams: int = 64
    max_stream_pixels: int = 4096 * 2304
    max_packet_bytes: int = 8 * 2**20
    max_stream_memory: int = 2 * 2**30
    stream_idle_s: float = 30
    track: Track = Track.ASKED
    stream_share: float = 0.5

    def __post_init__(self) -> None:
        """Check every value."""
        check_pipeline_name(self.name)
        if self.conf is not None:
            _check_range("--conf", self.conf, 0, 1)
        if self.iou is not None:
            _check_range("--iou", self.iou, 0, 1)
        _check_range("--instances", self.instances, 1, 256)
        _check_range("--decode-threads", self.decode_threads, 0, 256)
        _check_range("--max-batch", self.max_batch, 1, 1024)
        _check_range("--max-queue", self.max_queue, 1, 2**20)
        _check_range("--queue-timeout-ms", self.queue_timeout_ms, 1, 3_600_000)
        # TensorRT's TopK takes at most 3840.
        _check_range("--candidates", self.candidates, 1, 3840)
        if self.max_det is not None:
            _check_range("--max-detections", self.max_det, 1, self.candidates)
        _check_range("--max-image-bytes", self.max_image_bytes, 1, 2**31 - 1)
        _check_range("--max-image-pixels", self.max_image_pixels, 1, 2**31 - 1)
        # Every process is to have room for one.
        _check_range("--max-streams", self.max_streams, self.instances if self.stream else 1, 2**16)
        _check_range("--max-stream-pixels", self.max_stream_pixels, 1, 2**28)
        _check_range("--max-packet-bytes", self.max_packet_bytes, 1, 2**31 - 1)
        _check_range("--max-stream-memory", self.max_stream_memory, 1, 2**48)
        _check_range("--stream-idle", self.stream_idle_s, 1, 3600)
        _check_range("--stream-share", self.stream_share, 0.05, 0.95)
        if self.precision is Precision.BF16 and self.runtime is not Runtime.PYTHON:
            raise SettingsError(
                f"--precision bf16 is for --runtime python, where OpenVINO computes, and not for "
                f"{self.runtime.value}: add --runtime python, or take --precision fp16, which is "
                "written into the graph"
            )

    def with_defaults(self, of_model: NmsDefaults) -> BuildSettings:
        """Return settings in which nothing is None.

        A default asks for no more detections than there are candidates.
        """
        values = {
            field.name: _first(
                getattr(self, field.name),
                getattr(of_model, field.name),
                getattr(PREDICT_DEFAULTS, field.name),
            )
            for field in fields(NmsDefaults)
        }
        if self.max_det is None:
            values["max_det"] = min(values["max_det"], self.candidates)
        return replace(self, **values)


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)


@dataclass(frozen=True)
class NmsDefaults:
    """The thresholds that a model brings with it; None where it does not say.

    Attributes: as of :class:`BuildSettings`.
    """

    conf: float | None = None
    iou: float | None = None
    max_det: int | None = None
    class_agnostic: bool | None = None
    multi_label: bool | None = None


# Those of ultralytics' ``predict``.
PREDICT_DEFAULTS = NmsDefaults(
    conf=0.25, iou=0.7, max_det=300, class_agnostic=False, multi_label=False
)


def check_pipeline_name(name: str) -> None:
    """Check what becomes a folder, a model of Triton and a label of its metrics.

    Raises:
        SettingsError: it cannot be one of these.
    """
    if not PIPELINE_NAME.fullmatch(name):
        raise SettingsError(
            f"the pipeline name {name!r} must start with a letter and hold at most 64 "
            "letters, digits, '_' and '-': choose another with --name"
        )
    if name.endswith(RESERVED_SUFFIXES):
        raise SettingsError(
            f"the pipeline name {name!r} ends like one of a pipeline's own models "
            f"({', '.join(RESERVED_SUFFIXES)}): choose another with --name"
        )


def _check_range(option: str, value: float, lowest: float, highest: float) -> None:
    if not lowest <= value <= highest:
        raise SettingsError(f"{option} must be from {lowest} to {highest}, got {value}")
