"""Units to requests of ``NAME_stream``, or of ``NAME`` for JPEGs, and their answers."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from thin_client.contract import (
    FRAME_INDEX,
    FRAME_TIMESTAMP,
    LOOKED_AT,
    PACKET,
    PIPELINE_OUTPUTS,
    STREAM_OUTPUTS,
    TRACK_IDS,
    Codec,
    ImageStatus,
)
from thin_client.detections import Detections
from thin_client.errors import ContractMismatch
from thin_client.parameters import WireParameters
from thin_client.pipeline import Pipeline
from thin_client.streaming.orientation import UPRIGHT, Orientation
from thin_client.wire import infer_request, read_response, set_parameters

__all__ = ["Answer", "has_frame", "image_request", "packet_request", "read_answer"]

_NOT_LOOKED_AT = struct.pack("<i", 0)


@dataclass(frozen=True, eq=False)
class Answer:
    """What a server says to one packet.

    Attributes:
        detections: of the frame; without any and with a status where the packet gave no frame.
        frame_index: frames of this stream so far, from 0; -1 where the packet gave none.
        timestamp_us: of the frame, as it was sent; -1 where it is not known.
        looked_at: whether the network saw the frame; else the boxes are the tracker's, or there are
            none. Pipelines that do not say it look at every frame.
    """

    detections: Detections
    frame_index: int
    timestamp_us: int
    looked_at: bool = True


def has_frame(answer: Answer) -> bool:
    """Return whether an answer is about a frame, which somebody may have looked at or not."""
    found = answer.detections
    return found.ok or found.status is ImageStatus.NOT_LOOKED_AT


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
    begin: WireParameters | None = None,
    look_outputs: Sequence[str] = (),
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
        begin: what else is said where it begins: of looks and tracks.
        look_outputs: of LOOK_OUTPUTS the names of those that the model has.
    """
    request = service_pb2.ModelInferRequest(model_name=model)
    request.inputs.add(name=PACKET.name, datatype=PACKET.datatype, shape=[1, *PACKET.shape])
    request.raw_input_contents.append(struct.pack("<I", len(data)) + data)
    for tensor in STREAM_OUTPUTS:
        request.outputs.add(name=tensor.name)
    for name in look_outputs:
        request.outputs.add(name=name)
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
    if start and begin:
        own |= begin
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
    raw_of = {
        output.name: raw
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=False)
    }
    numbers = [
        int(np.frombuffer(raw_of[tensor.name], "<i8")[0])
        for tensor in STREAM_OUTPUTS[len(PIPELINE_OUTPUTS) :]
        if len(raw_of.get(tensor.name, b"")) == 8
    ]
    if len(numbers) < len(STREAM_OUTPUTS) - len(PIPELINE_OUTPUTS):
        raise ContractMismatch(
            f"the pipeline {pipeline.model!r} answered without {FRAME_INDEX.name} and"
            f" {FRAME_TIMESTAMP.name}; rebuild it with 'framewire build --stream'"
        )
    index, frame_us = numbers
    looked_at = raw_of.get(LOOKED_AT.name) != _NOT_LOOKED_AT
    return Answer(_tracked(detections, raw_of, pipeline), index, frame_us, looked_at)


def _tracked(detections: Detections, raw_of: dict[str, bytes], pipeline: Pipeline) -> Detections:
    """Return the detections with their tracks, where the answer has any."""
    raw = raw_of.get(TRACK_IDS.name)
    if raw is None or not pipeline.tracks or not detections.ok:
        return detections
    if len(raw) != 8 * pipeline.max_det:
        raise ContractMismatch(
            f"the pipeline {pipeline.model!r} answered {TRACK_IDS.name} in {len(raw)} bytes,"
            f" expected {8 * pipeline.max_det}; connect again if it was rebuilt meanwhile"
        )
    return replace(detections, track_ids=np.frombuffer(raw, "<i8")[: len(detections)])
