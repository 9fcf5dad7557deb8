"""The wire contract between a pipeline and its clients: the one source of truth.

Everything here is data plus a few small functions, and needs only the standard library: the builder
copies this file beside every served model, where neither distribution is installed.
docs/protocol.md says the same in words, for clients in other languages.

Datatypes are those of the KServe v2 protocol. Shapes are per image, without the leading batch
dimension; a name in a shape stands for a size the pipeline fixes when it is built.
"""

from __future__ import annotations

import enum
import hashlib
import json
from dataclasses import asdict, dataclass

__all__ = [
    "CANDIDATES",
    "DAMAGED",
    "DETECT_FPS",
    "DETECT_FPS_AUTO",
    "DET_BOXES",
    "DET_CLASSES",
    "DET_SCORES",
    "FRAME",
    "FRAME_INDEX",
    "FRAME_TIMESTAMP",
    "GEOMETRY",
    "IMAGE",
    "IMAGE_SIZE",
    "IMAGE_STATUS",
    "LOOKED_AT",
    "LOOK_OUTPUTS",
    "NUM_DETS",
    "OPTIONAL_PARAMETERS",
    "OPTIONAL_STATUSES",
    "PACKET",
    "PIPELINE_INPUTS",
    "PIPELINE_OUTPUTS",
    "READ_STATUSES",
    "REQUEST_PARAMETERS",
    "ROTATIONS",
    "STATUS_SENTENCES",
    "STREAM_FRAME",
    "STREAM_INPUTS",
    "STREAM_OPTIONS",
    "STREAM_OUTPUTS",
    "STREAM_PARAMETERS",
    "STREAM_STATUSES",
    "TICKET",
    "TRACKING",
    "TRACK_IDS",
    "TRACK_PARAMETERS",
    "Codec",
    "DamagedImages",
    "ImageStatus",
    "ModelNames",
    "PipelineParameter",
    "Tensor",
    "contract_fingerprint",
    "model_names",
    "resolve_shape",
    "stream_fingerprint",
]


@dataclass(frozen=True)
class Tensor:
    """Name, KServe v2 datatype and per-image shape of one tensor."""

    name: str
    datatype: str
    shape: tuple[int | str, ...]


# What clients see. num_dets and det_* carry the names of TensorRT's EfficientNMS plugin, so that
# clients written for end-to-end YOLO engines work unchanged.
IMAGE = Tensor("image", "BYTES", (1,))
NUM_DETS = Tensor("num_dets", "INT32", (1,))
DET_BOXES = Tensor("det_boxes", "FP32", ("max_det", 4))
DET_SCORES = Tensor("det_scores", "FP32", ("max_det",))
DET_CLASSES = Tensor("det_classes", "INT32", ("max_det",))
IMAGE_STATUS = Tensor("image_status", "INT32", (1,))
IMAGE_SIZE = Tensor("image_size", "INT32", (2,))

PIPELINE_INPUTS = (IMAGE,)
PIPELINE_OUTPUTS = (NUM_DETS, DET_BOXES, DET_SCORES, DET_CLASSES, IMAGE_STATUS, IMAGE_SIZE)

# What clients of a stream see. PACKET is one access unit: Annex B for H.264 and H.265, a JPEG file
# for MJPEG; an empty one takes out a frame that the decoder still holds. The correlation id of the
# request names the stream, sequence_start and sequence_end begin and end it. Every packet has one
# answer. FRAME_INDEX counts the frames of the stream from 0, FRAME_TIMESTAMP is what came as the
# parameter `timestamp` with the packet of the frame that the detections belong to; both are -1
# where there is none.
PACKET = Tensor("packet", "BYTES", (1,))
FRAME_INDEX = Tensor("frame_index", "INT64", (1,))
FRAME_TIMESTAMP = Tensor("frame_timestamp", "INT64", (1,))

STREAM_INPUTS = (PACKET,)
STREAM_OUTPUTS = (*PIPELINE_OUTPUTS, FRAME_INDEX, FRAME_TIMESTAMP)

# What streams have besides since the network need not look at every frame. LOOKED_AT: 1 where the
# network saw this frame, 0 where the boxes are the tracker's or there are none. TRACK_IDS: from 1,
# row by row with DET_BOXES, counted for each stream from its start; 0 where a box has no track.
# Outside the fingerprint: clients of before do not ask for these outputs, and a pipeline of before
# has none in its config.
LOOKED_AT = Tensor("looked_at", "INT32", (1,))
TRACK_IDS = Tensor("track_ids", "INT64", ("max_det",))
LOOK_OUTPUTS = (LOOKED_AT, TRACK_IDS)

# What passes between the steps. FRAME is BGR, NHWC. GEOMETRY is (source width, source height,
# gain x, gain y, pad left, pad top): source pixels times gain plus pad are network pixels; an
# image that could not be read has source size 0. CANDIDATES are (x1, y1, x2, y2, score, class),
# boxes in network pixels.
FRAME = Tensor("frame", "UINT8", ("height", "width", 3))
GEOMETRY = Tensor("geometry", "FP32", (6,))
CANDIDATES = Tensor("candidates", "FP32", ("candidates", 6))
# Which process made a frame, and which of its frames it is: pid, file descriptor, serial, number.
TICKET = Tensor("ticket", "INT64", (4,))
# What the decode step says to the detect step of a packet, and its stream's settings of tracking.
STREAM_FRAME = Tensor("stream_frame", "INT64", (8,))
TRACKING = Tensor("tracking", "FP32", (4,))

REQUEST_PARAMETERS = ("conf", "iou", "max_det", "classes", "class_agnostic")
# What came after the fingerprints were fixed: the name of a DamagedImages. It is outside of them,
# with OPTIONAL_STATUSES, because clients and pipelines that do not know it go on as before: such a
# pipeline ignores the parameter, and only who asked for the status, with a request or a build, gets
# it.
DAMAGED = "damaged"
OPTIONAL_PARAMETERS = (DAMAGED,)
# Of packets besides: the name of a Codec, needed at sequence_start; microseconds, an integer.
STREAM_PARAMETERS = ("codec", "timestamp")
# Of the packet that begins a stream of H.264 or H.265, and of no other: how its frames have to be
# turned to be upright. A container says so in its display matrix, and packets say nothing of it.
# `mirror`, true or false: left and right change places first. `rotation`: then so many degrees
# clockwise. Outside the fingerprint: who sends neither sees nothing of them, and pipelines of
# before ignore them. One that obeys them names them in PipelineParameter.STREAM_OPTIONS.
STREAM_OPTIONS = ("rotation", "mirror")
ROTATIONS = (0, 90, 180, 270)
# Of the packet that begins a stream of any codec, each as a number or its text; outside the
# fingerprint and named in STREAM_OPTIONS of the config likewise, by pipelines that obey them.
# `detect_fps`: how many frames a second the network looks at, more than 0, or "auto": the newest
# frame whenever the network has room. Without it, every frame.
DETECT_FPS = "detect_fps"
DETECT_FPS_AUTO = "auto"
# ByteTrack's: scores of the two stages of association (0 to 1), frames for which a lost track may
# be found again (from 0), and looks that must have found a track before it is shown (from 1).
TRACK_PARAMETERS = ("track_high", "track_low", "track_buffer", "min_hits")


class Codec(str, enum.Enum):
    """What the packets of a stream are encoded with."""

    H264 = "h264"
    H265 = "h265"
    MJPEG = "mjpeg"


class DamagedImages(str, enum.Enum):
    """What becomes of a JPEG of which pixels are missing or wrong."""

    REFUSE = "refuse"
    ACCEPT = "accept"
    """What could be decoded of it is looked at, and its status says so."""


class ImageStatus(enum.IntEnum):
    """Why an image has no detections; ``OK`` when it was read, ``DAMAGED`` when part of it was."""

    OK = 0
    EMPTY = 1
    UNSUPPORTED_FORMAT = 2
    CORRUPT = 3
    TOO_MANY_BYTES = 4
    TOO_MANY_PIXELS = 5
    UNSUPPORTED_PIXELS = 6
    # Only of packets of a stream.
    WAITING_FOR_KEY_FRAME = 7
    NO_FRAME_YET = 8
    CORRUPT_PACKET = 9
    # With detections, where damaged images are accepted.
    DAMAGED = 10
    # Only of packets of a stream that asked for fewer looks than frames, where nobody tracks: with
    # an image_size, a frame_index and no detections.
    NOT_LOOKED_AT = 11


STREAM_STATUSES = (
    ImageStatus.WAITING_FOR_KEY_FRAME,
    ImageStatus.NO_FRAME_YET,
    ImageStatus.CORRUPT_PACKET,
)
# Outside of the fingerprints, see OPTIONAL_PARAMETERS.
OPTIONAL_STATUSES = (ImageStatus.DAMAGED, ImageStatus.NOT_LOOKED_AT)
# With these there are an image_size and perhaps detections; with all others neither, but for
# NOT_LOOKED_AT, which has an image_size.
READ_STATUSES = (ImageStatus.OK, ImageStatus.DAMAGED)


# A request with one bad image fails with INVALID_ARGUMENT and a message that holds the sentence of
# its status to the letter: clients tell by it whom the error blames. A bad parameter is named.
STATUS_SENTENCES: dict[ImageStatus, str] = {
    ImageStatus.OK: "the image was read",
    ImageStatus.EMPTY: "the image is empty",
    ImageStatus.UNSUPPORTED_FORMAT: "the image is not a JPEG, PNG, WebP or BMP file",
    ImageStatus.CORRUPT: "the image is corrupt or truncated",
    ImageStatus.TOO_MANY_BYTES: "the image file is larger than this pipeline accepts",
    ImageStatus.TOO_MANY_PIXELS: "the image has more pixels than this pipeline accepts",
    ImageStatus.UNSUPPORTED_PIXELS: "the image's pixel format is not supported",
    ImageStatus.WAITING_FOR_KEY_FRAME: "the stream waits for its next key frame",
    ImageStatus.NO_FRAME_YET: "the decoder holds the frame back",
    ImageStatus.CORRUPT_PACKET: "the packet is corrupt",
    ImageStatus.DAMAGED: "the image is damaged, and what could be decoded of it was looked at",
    ImageStatus.NOT_LOOKED_AT: "nobody looked at the frame",
}


class PipelineParameter(str, enum.Enum):
    """Keys of ``parameters`` in the config of a pipeline's public models; every value is text."""

    CONTRACT = "contract_fingerprint"
    VERSION = "builder_version"
    HEAD = "head"
    LABELS = "labels"  # JSON array of class names, in class order
    INPUT_WIDTH = "input_width"
    INPUT_HEIGHT = "input_height"
    CONF = "conf"
    IOU = "iou"
    MAX_DET = "max_det"
    CLASS_AGNOSTIC = "class_agnostic"  # "true" or "false"
    DAMAGED = "damaged"  # a DamagedImages; not in pipelines of builders that did not know it
    # "rect": frames are the smallest rectangles within the input's size; "square": all are whole.
    SHAPE = "shape"
    # Only of NAME_stream.
    MAX_STREAMS = "max_streams"  # open at once
    MAX_STREAM_PIXELS = "max_stream_pixels"  # of a frame
    MAX_PACKET_BYTES = "max_packet_bytes"
    STREAM_IDLE_S = "stream_idle_s"  # a stream without packets for longer is closed
    # "rotation,mirror,detect_fps,...": which of STREAM_OPTIONS, DETECT_FPS and TRACK_PARAMETERS it
    # obeys, those of tracking only where it tracks; missing: nothing.
    STREAM_OPTIONS = "stream_options"


@dataclass(frozen=True)
class ModelNames:
    """Triton's names of the models of one pipeline: five, and three more where it has streams.

    Attributes:
        ensemble: takes images.
        bls: takes images too; decodes and postprocesses by itself, and calls the network.
        preprocess: a step.
        network: a step.
        postprocess: a step.
        stream: takes packets of streams; only in pipelines built for them.
        decode: its first step; likewise.
        detect: its second, which has the network look at frames, and tracks; likewise.
    """

    ensemble: str
    bls: str
    preprocess: str
    network: str
    postprocess: str
    stream: str
    decode: str
    detect: str

    @property
    def all(self) -> tuple[str, ...]:
        """Return the five names that every pipeline has, the public ones first."""
        return (self.ensemble, self.bls, self.preprocess, self.network, self.postprocess)

    @property
    def streaming(self) -> tuple[str, str, str]:
        """Return the three names that pipelines with streams have besides, the public one first."""
        return (self.stream, self.decode, self.detect)


def model_names(pipeline: str) -> ModelNames:
    """Return the names of the models of ``pipeline``."""
    return ModelNames(
        ensemble=pipeline,
        bls=f"{pipeline}_bls",
        preprocess=f"{pipeline}_preprocess",
        network=f"{pipeline}_network",
        postprocess=f"{pipeline}_postprocess",
        stream=f"{pipeline}_stream",
        decode=f"{pipeline}_decode",
        detect=f"{pipeline}_detect",
    )


def resolve_shape(tensor: Tensor, **sizes: int) -> tuple[int, ...]:
    """Return the shape of ``tensor`` with its named sizes filled in.

    Raises:
        KeyError: a size that the shape names is missing.
    """
    return tuple(sizes[size] if isinstance(size, str) else size for size in tensor.shape)


def contract_fingerprint() -> str:
    """Return 16 hex digits that change when what clients of images rely on changes.

    Covers the public tensors, the meaning of the status codes and the request parameters; the
    tensors between steps never reach a client, and what only streams have is in
    :func:`stream_fingerprint`: clients of images and pipelines without streams know nothing of it.
    Neither covers :data:`OPTIONAL_PARAMETERS` and :data:`OPTIONAL_STATUSES`.
    """
    return _fingerprint(
        PIPELINE_INPUTS,
        PIPELINE_OUTPUTS,
        [status for status in ImageStatus if status not in STREAM_STATUSES + OPTIONAL_STATUSES],
        REQUEST_PARAMETERS,
    )


def stream_fingerprint() -> str:
    """Return 16 hex digits that change when what clients of streams rely on changes.

    ``STREAM_OPTIONS`` is not covered, so clients and pipelines from before it go on together.
    """
    return _fingerprint(
        STREAM_INPUTS,
        STREAM_OUTPUTS,
        [status for status in ImageStatus if status not in OPTIONAL_STATUSES],
        (*REQUEST_PARAMETERS, *STREAM_PARAMETERS),
    )


def _fingerprint(
    inputs: tuple[Tensor, ...],
    outputs: tuple[Tensor, ...],
    statuses: list[ImageStatus],
    parameters: tuple[str, ...],
) -> str:
    public = {
        "inputs": [asdict(tensor) for tensor in inputs],
        "outputs": [asdict(tensor) for tensor in outputs],
        "status": {status.name: int(status) for status in statuses},
        "parameters": parameters,
    }
    canonical = json.dumps(public, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
