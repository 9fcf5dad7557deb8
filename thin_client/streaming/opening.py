"""What ``Detector.video_stream`` asks the server before the first frame."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tritonclient.grpc import service_pb2

from thin_client.contract import Codec, PipelineParameter, model_names, stream_fingerprint
from thin_client.conversation import Call, Conversation
from thin_client.errors import ContractMismatch, PipelineNotFound
from thin_client.pipeline import Pipeline

if TYPE_CHECKING:
    from thin_client.streaming.wishes import Wishes

__all__ = ["find_streams", "refuse_without_streams"]


def find_streams(pipeline: Pipeline) -> Conversation[Pipeline | None]:
    """Return the pipeline that takes packets beside ``pipeline``, or None.

    Raises:
        ContractMismatch: it speaks another contract.
    """
    name = model_names(pipeline.model.removesuffix("_bls")).stream
    try:
        response = yield Call("ModelConfig", service_pb2.ModelConfigRequest(name=name))
    except PipelineNotFound:
        return None
    found = response.config.parameters[PipelineParameter.CONTRACT.value].string_value
    if found != stream_fingerprint():
        raise ContractMismatch(
            f"the pipeline {name!r} speaks contract {found or 'none'} and this client"
            f" {stream_fingerprint()}; rebuild it with 'framewire build --stream', or update the"
            " client"
        )
    return replace(pipeline, model=name)


def refuse_without_streams(streams: Pipeline | None, wishes: Wishes, pipeline: Pipeline) -> None:
    """Refuse a wish for video where the pipeline takes only images.

    Raises:
        PipelineNotFound: that is so.
    """
    if streams is None and wishes.codec in (Codec.H264, Codec.H265):
        raise PipelineNotFound(
            f"the pipeline {pipeline.model!r} takes no video: build it with 'framewire build"
            " --stream', or send pictures (codec jpeg, --codec jpeg)"
        )
