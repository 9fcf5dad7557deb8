"""What ``Detector.video_stream`` asks the server before the first frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tritonclient.grpc import service_pb2

from thin_client.contract import Codec, PipelineParameter, model_names, stream_fingerprint
from thin_client.conversation import Call, Conversation
from thin_client.errors import ContractMismatch, PipelineNotFound
from thin_client.pipeline import Pipeline, described

if TYPE_CHECKING:
    from thin_client.streaming.wishes import Wishes

__all__ = ["find_streams", "refuse_without_streams", "streams_from_config"]


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
    return streams_from_config(response.config)


def streams_from_config(config: Any) -> Pipeline:
    """Return the pipeline that the ``ModelConfig`` of a NAME_stream describes.

    Raises:
        ContractMismatch: it speaks another contract, or its config is incomplete.
    """
    found = config.parameters[PipelineParameter.CONTRACT.value].string_value
    if found != stream_fingerprint():
        raise ContractMismatch(
            f"the pipeline {config.name!r} speaks contract {found or 'none'} and this client"
            f" {stream_fingerprint()}; rebuild it with 'framewire build --stream', or update the"
            " client"
        )
    return described(config)


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
