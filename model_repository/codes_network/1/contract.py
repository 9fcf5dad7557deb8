"""The wire contract between a pipeline and its clients: the one source of truth.

Everything here is data plus three small functions, and needs only the standard library: the builder
copies this file beside every served model, where neither distribution is installed.

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
    "DET_BOXES",
    "DET_CLASSES",
    "DET_SCORES",
    "FRAME",
    "GEOMETRY",
    "IMAGE",
    "IMAGE_SIZE",
    "IMAGE_STATUS",
    "NUM_DETS",
    "PIPELINE_INPUTS",
    "PIPELINE_OUTPUTS",
    "REQUEST_PARAMETERS",
    "STATUS_SENTENCES",
    "ImageStatus",
    "ModelNames",
    "PipelineParameter",
    "Tensor",
    "contract_fingerprint",
    "model_names",
    "resolve_shape",
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

# What passes between the steps. FRAME is BGR, NHWC. GEOMETRY is (source width, source height,
# gain x, gain y, pad left, pad top): source pixels times gain plus pad are network pixels; an
# image that could not be read has source size 0. CANDIDATES are (x1, y1, x2, y2, score, class),
# boxes in network pixels.
FRAME = Tensor("frame", "UINT8", ("height", "width", 3))
GEOMETRY = Tensor("geometry", "FP32", (6,))
CANDIDATES = Tensor("candidates", "FP32", ("candidates", 6))

REQUEST_PARAMETERS = ("conf", "iou", "max_det", "classes", "class_agnostic")


class ImageStatus(enum.IntEnum):
    """Why an image has no detections; ``OK`` when it was read."""

    OK = 0
    EMPTY = 1
    UNSUPPORTED_FORMAT = 2
    CORRUPT = 3
    TOO_MANY_BYTES = 4
    TOO_MANY_PIXELS = 5
    UNSUPPORTED_PIXELS = 6


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


@dataclass(frozen=True)
class ModelNames:
    """Triton's names of the five models that make one pipeline."""

    ensemble: str
    bls: str
    preprocess: str
    network: str
    postprocess: str

    @property
    def all(self) -> tuple[str, ...]:
        """Return the five names, the public ones first."""
        return (self.ensemble, self.bls, self.preprocess, self.network, self.postprocess)


def model_names(pipeline: str) -> ModelNames:
    """Return the names of the models of ``pipeline``."""
    return ModelNames(
        ensemble=pipeline,
        bls=f"{pipeline}_bls",
        preprocess=f"{pipeline}_preprocess",
        network=f"{pipeline}_network",
        postprocess=f"{pipeline}_postprocess",
    )


def resolve_shape(tensor: Tensor, **sizes: int) -> tuple[int, ...]:
    """Return the shape of ``tensor`` with its named sizes filled in.

    Raises:
        KeyError: a size that the shape names is missing.
    """
    return tuple(sizes[size] if isinstance(size, str) else size for size in tensor.shape)


def contract_fingerprint() -> str:
    """Return 16 hex digits that change when the public part of this contract changes.

    Covers the public tensors, the meaning of the status codes and the request parameters; the
    tensors between steps never reach a client.
    """
    public = {
        "inputs": [asdict(tensor) for tensor in PIPELINE_INPUTS],
        "outputs": [asdict(tensor) for tensor in PIPELINE_OUTPUTS],
        "status": {status.name: int(status) for status in ImageStatus},
        "parameters": REQUEST_PARAMETERS,
    }
    canonical = json.dumps(public, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
