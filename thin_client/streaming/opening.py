"""What ``Detector.video_stream`` asks the server before the first frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tritonclient.grpc import service_pb2

from thin_client.contract import (
    STREAM_OPTIONS,
    Codec,
    PipelineParameter,
    model_names,
    stream_fingerprint,
)
from thin_client.conversation import Call, Conversation
from thin_client.errors import ContractMismatch, PipelineNotFound
from thin_client.pipeline import Pipeline

if TYPE_CHECKING:
    from thin_client.streaming.wishes import Wishes

__all__ = ["StreamPipeline", "find_streams", "refuse_without_streams"]


@dataclass(frozen=True)
class StreamPipeline(Pipeline):
    """A pipeline's model for packets of streams.

    Attributes:
        turns: whether it turns frames as STREAM_OPTIONS say; those built before did not.
    """

    turns: bool = False


def find_streams(pipeline: Pipeline) -> Conversation[StreamPipeline | None]:
    """Return the pipeline that takes packets beside ``pipeline``, or None.

    Raises:
        ContractMismatch: it speaks another contract.
    """
    name = model_names(pipeline.model.removesuffix("_bls")).stream
    try:
        response = yield Call("ModelConfig", service_pb2.ModelConfigRequest(name=name))
    except PipelineNotFound:
        return None
    parameters = {key: value.string_value for key, value in response.config.parameters.items()}
    found = parameters.get(PipelineParameter.CONTRACT.value)
    if found != stream_fingerprint():
        raise ContractMismatch(
            f"the pipeline {name!r} speaks contract {found or 'none'} and this client"
            f" {stream_fingerprint()}; rebuild it with 'framewire build --stream', or update the"
            " client"
        )
    options = parameters.get(PipelineParameter.STREAM_OPTIONS.value, "").split(",")
    return StreamPipeline(
        **{**vars(pipeline), "model": name}, turns=set(STREAM_OPTIONS) <= set(options)
    )


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
