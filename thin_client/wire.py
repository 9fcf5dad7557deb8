"""Images to a KServe v2 request, and its response to detections; no network here."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2

from thin_client.contract import (
    DET_BOXES,
    DET_CLASSES,
    DET_SCORES,
    IMAGE,
    IMAGE_SIZE,
    IMAGE_STATUS,
    NUM_DETS,
    PIPELINE_OUTPUTS,
    READ_STATUSES,
    STATUS_SENTENCES,
    ImageStatus,
    Tensor,
    resolve_shape,
)
from thin_client.detections import Detections
from thin_client.errors import ContractMismatch
from thin_client.parameters import WireParameters
from thin_client.pipeline import Pipeline

__all__ = [
    "EncodedImage",
    "encoded_image",
    "infer_request",
    "read_response",
    "set_parameters",
    "set_timeout",
]

EncodedImage = bytes | bytearray | memoryview

_TIMEOUT = "timeout"
_DTYPES = {"INT32": np.dtype("<i4"), "FP32": np.dtype("<f4")}


def encoded_image(image: EncodedImage) -> bytes:
    """Return an image's encoded bytes.

    Raises:
        TypeError: it is something else, such as a path or an array of pixels.
    """
    if isinstance(image, bytes):
        return image
    if isinstance(image, bytearray | memoryview):
        return bytes(image)
    raise TypeError(
        f"an image is given as the bytes of a JPEG, PNG, WebP or BMP file, not as"
        f" {type(image).__name__}; read a file with pathlib.Path(...).read_bytes()"
    )


def infer_request(model: str, images: Sequence[bytes], parameters: WireParameters) -> Any:
    """Return a ``ModelInferRequest`` for a batch of encoded images."""
    request = service_pb2.ModelInferRequest(model_name=model)
    request.inputs.add(name=IMAGE.name, datatype=IMAGE.datatype, shape=[len(images), *IMAGE.shape])
    # A BYTES tensor is, for each element, its length as 4 little-endian bytes and then itself.
    pieces = [piece for image in images for piece in (struct.pack("<I", len(image)), image)]
    request.raw_input_contents.append(b"".join(pieces))
    for tensor in PIPELINE_OUTPUTS:
        request.outputs.add(name=tensor.name)
    set_parameters(request, parameters)
    return request


def set_parameters(request: Any, parameters: WireParameters) -> None:
    """Put request parameters into a ``ModelInferRequest``, each with the type that it has."""
    for name, value in parameters.items():
        # bool first: it is an int too.
        if isinstance(value, bool):
            request.parameters[name].bool_param = value
        elif isinstance(value, int):
            request.parameters[name].int64_param = value
        else:
            request.parameters[name].string_param = value


def set_timeout(request: Any, timeout_s: float | None) -> None:
    """Have the server drop a ``ModelInferRequest`` that waits longer than its client does.

    The parameter ``timeout`` of Triton, in microseconds: a request that waits in a queue for longer
    is refused with UNAVAILABLE and costs no work.

    Args:
        request: changed in place.
        timeout_s: that the client waits; None for as long as the server lets requests wait.
    """
    if timeout_s is None:
        request.parameters.pop(_TIMEOUT, None)
    else:
        # 0 would mean no limit.
        request.parameters[_TIMEOUT].int64_param = max(1, round(timeout_s * 1e6))


def read_response(response: Any, pipeline: Pipeline, batch_size: int) -> list[Detections]:
    """Return the detections of each image of a ``ModelInferResponse``.

    Raises:
        ContractMismatch: a tensor is missing, or has another type, shape or value than promised.
    """
    tensors = {
        tensor.name: _tensor(response, tensor, pipeline, batch_size) for tensor in PIPELINE_OUTPUTS
    }
    return [_detections(tensors, row, pipeline) for row in range(batch_size)]


def _tensor(response: Any, tensor: Tensor, pipeline: Pipeline, batch_size: int) -> npt.NDArray[Any]:
    expected = (batch_size, *resolve_shape(tensor, max_det=pipeline.max_det))
    dtype = _DTYPES[tensor.datatype]
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=False):
        if output.name != tensor.name:
            continue
        shape = tuple(output.shape)
        if output.datatype != tensor.datatype or shape != expected:
            raise ContractMismatch(
                f"the pipeline {pipeline.model!r} answered {tensor.name} as {output.datatype}"
                f" {list(shape)}, expected {tensor.datatype} {list(expected)};"
                " connect again if it was rebuilt meanwhile"
            )
        size = dtype.itemsize * math.prod(expected)
        if len(raw) != size:
            raise ContractMismatch(
                f"the pipeline {pipeline.model!r} answered {tensor.name} in {len(raw)} bytes,"
                f" expected {size}; what stands between may have cut them"
            )
        # Read-only, as it looks into the response's own bytes.
        return np.frombuffer(raw, dtype).reshape(shape)
    raise ContractMismatch(
        f"the pipeline {pipeline.model!r} answered without {tensor.name};"
        " connect again if it was rebuilt meanwhile"
    )


def _detections(tensors: dict[str, npt.NDArray[Any]], row: int, pipeline: Pipeline) -> Detections:
    code = int(tensors[IMAGE_STATUS.name][row, 0])
    count = int(tensors[NUM_DETS.name][row, 0])
    if code not in tuple(ImageStatus) or not 0 <= count <= pipeline.max_det:
        raise ContractMismatch(
            f"the pipeline {pipeline.model!r} answered {IMAGE_STATUS.name} {code} and"
            f" {NUM_DETS.name} {count}, expected a known status and 0 to {pipeline.max_det}"
        )
    status = ImageStatus(code)
    if status not in READ_STATUSES:
        return Detections.failed(status, STATUS_SENTENCES[status])
    classes = tensors[DET_CLASSES.name][row, :count]
    width, height = tensors[IMAGE_SIZE.name][row].tolist()
    return Detections(
        boxes_xyxy=tensors[DET_BOXES.name][row, :count],
        scores=tensors[DET_SCORES.name][row, :count],
        classes=classes,
        labels=tuple(pipeline.label(class_index) for class_index in classes.tolist()),
        width=width,
        height=height,
        status=status,
    )
