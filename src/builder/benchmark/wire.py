"""How many bytes a request takes."""

from __future__ import annotations

import struct

from tritonclient.grpc import service_pb2

from thin_client.contract import IMAGE

BYTES_OF_FP32 = 4


def image_request_bytes(model: str, image: bytes) -> int:
    """Return the size of a gRPC request with one encoded image, as protobuf writes it."""
    element = struct.pack("<I", len(image)) + image
    return _request_bytes(model, IMAGE.name, IMAGE.datatype, (1, 1), element)


def tensor_request_bytes(model: str, width: int, height: int) -> int:
    """Return the size of one with what usual clients send: float32 ``[1, 3, height, width]``."""
    size = 3 * height * width * BYTES_OF_FP32
    return _request_bytes(model, "images", "FP32", (1, 3, height, width), bytes(size))


def _request_bytes(model: str, name: str, datatype: str, shape: tuple[int, ...], raw: bytes) -> int:
    request = service_pb2.ModelInferRequest(model_name=model)
    request.inputs.add(name=name, datatype=datatype, shape=shape)
    request.raw_input_contents.append(raw)
    return int(request.ByteSize())
