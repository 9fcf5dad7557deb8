"""Units to requests of ``NAME_stream``, or of ``NAME`` for JPEGs, and their answers."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from thin_client.contract import (
    FRAME_INDEX,
    FRAME_TIMESTAMP,
    PACKET,
    PIPELINE_OUTPUTS,
    STREAM_OUTPUTS,
    Codec,
)
from thin_client.detections import Detections
from thin_client.errors import ContractMismatch
from thin_client.parameters import WireParameters
from thin_client.pipeline import Pipeline
from thin_client.streaming.orientation import UPRIGHT, Orientation
from thin_client.wire import infer_request, read_response, set_parameters

__all__ = ["Answer", "image_request", "packet_request", "read_answer"]


@dataclass(frozen=True, eq=False)
class Answer:
    """What a server says to one packet.

    Attributes:
        detections: of the frame; without any and with a status where the packet gave no frame.
        frame_index: frames of this stream so far, from 0; -1 where the packet gave none.
        timestamp_us: of the frame, as it was sent; -1 where it is not known.
    """

    detections: Detections
    frame_index: int
    timestamp_us: int


def packet_request(
    model: str,
    data: bytes,
    parameters: WireParameters,
    *,
    stream: str,
    codec: Codec,
    timestamp_us: int | None,
    start: bool = False,
    end: bool = False,
    orientation: Orientation = UPRIGHT,
) -> Any:
    """Return the ``ModelInferRequest`` of one packet.

    Args:
        model: NAME_stream.
        data: an access unit; empty to take out a frame that the decoder holds back.
        parameters: thresholds for this frame.
        stream: the stream's id.
        codec: of the stream.
        timestamp_us: of the packet's frame; None for an empty one.
        start: the stream begins, or begins anew, with this packet.
        end: this is its last.
        orientation: how the stream's frames have to be turned, where it begins.
    """
    request = service_pb2.ModelInferRequest(model_name=model)
    request.inputs.add(name=PACKET.name, datatype=PACKET.datatype, shape=[1, *PACKET.shape])
    request.raw_input_contents.append(struct.pack("<I", len(data)) + data)
    for tensor in STREAM_OUTPUTS:
        request.outputs.add(name=tensor.name)
    own: WireParameters = {
        "sequence_id": stream,
        "sequence_start": start,
        "sequence_end": end,
        "codec": codec.value,
    }
    if timestamp_us is not None:
        own["timestamp"] = timestamp_us
    if start and orientation != UPRIGHT:
        own |= {"rotation": orientation.rotation, "mirror": orientation.mirror}
    set_parameters(request, {**parameters, **own})
    return request


def image_request(model: str, data: bytes, parameters: WireParameters) -> Any:
    """Return the ``ModelInferRequest`` of one JPEG."""
    return infer_request(model, [data], parameters)


def read_answer(response: Any, pipeline: Pipeline, timestamp_us: int | None) -> Answer:
    """Return what a ``ModelInferResponse`` says.

    Args:
        response: of NAME_stream, or of NAME for a JPEG.
        pipeline: that answered.
        timestamp_us: of the JPEG that was sent; None for an answer of NAME_stream.

    Raises:
        ContractMismatch: a tensor is missing, or has another type or shape than promised.
    """
    (detections,) = read_response(response, pipeline, 1)
    if timestamp_us is not None:
        return Answer(detections, -1, timestamp_us)
    numbers = {}
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=False):
        if output.name in (FRAME_INDEX.name, FRAME_TIMESTAMP.name) and len(raw) == 8:
            numbers[output.name] = int(np.frombuffer(raw, "<i8")[0])
    if len(numbers) < len(STREAM_OUTPUTS) - len(PIPELINE_OUTPUTS):
        raise ContractMismatch(
            f"the pipeline {pipeline.model!r} answered without {FRAME_INDEX.name} and"
            f" {FRAME_TIMESTAMP.name}; rebuild it with 'framewire build --stream'"
        )
    return Answer(detections, numbers[FRAME_INDEX.name], numbers[FRAME_TIMESTAMP.name])
