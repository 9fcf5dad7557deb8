"""What the client says to a server, without the sending.

Each function is a generator: it yields a Call, receives the response, or the FramewireError that
the call ended with, and returns its result. Detector and AsyncDetector only send, so what there is
to say is written once.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from tritonclient.grpc import service_pb2

from thin_client.contract import model_names
from thin_client.detections import Detections
from thin_client.errors import BadImage, FramewireError, PipelineNotFound
from thin_client.parameters import RequestParameters, wire_parameters
from thin_client.pipeline import (
    Pipeline,
    explain_missing,
    pipeline_from_config,
    the_only_pipeline,
)
from thin_client.server_report import ServerReport, statistics_from_response
from thin_client.wire import EncodedImage, encoded_image, infer_request, read_response, set_timeout

__all__ = ["Call", "Conversation", "connect", "detect", "detect_batch", "report"]

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """One RPC: a method of KServe's GRPCInferenceService, and its request message."""

    method: str
    request: Any

    def request_within(self, timeout_s: float | None) -> Any:
        """Return the request, which tells the server how long its answer is waited for."""
        if self.method == _INFER:
            set_timeout(self.request, timeout_s)
        return self.request


_INFER = "ModelInfer"
Conversation = Generator[Call, Any, T]


def connect(url: str, model: str | None, bls: bool) -> Conversation[Pipeline]:
    """Find the pipeline, read its config and check that it speaks this client's contract."""
    if model is None:
        index = yield Call("RepositoryIndex", service_pb2.RepositoryIndexRequest())
        model = the_only_pipeline(index.models, url)
    # Who names the variant and asks for it too wants it once.
    name = model_names(model.removesuffix("_bls")).bls if bls else model
    try:
        response = yield Call("ModelConfig", service_pb2.ModelConfigRequest(name=name))
    except PipelineNotFound as error:
        try:
            index = yield Call("RepositoryIndex", service_pb2.RepositoryIndexRequest())
        except FramewireError:
            # The list of choices is a courtesy that a server may refuse.
            raise error from None
        raise explain_missing(name, index.models, url) from error
    return pipeline_from_config(response.config)


def detect_batch(
    pipeline: Pipeline, images: Sequence[EncodedImage], parameters: RequestParameters
) -> Conversation[list[Detections]]:
    """Detect in a batch of any size; an image that cannot be read gets a status, not an error."""
    encoded = [encoded_image(image) for image in images]
    wire = wire_parameters(pipeline.labels, **parameters)
    results: list[Detections] = []
    for start in range(0, len(encoded), pipeline.max_batch_size):
        chunk = encoded[start : start + pipeline.max_batch_size]
        try:
            response = yield Call(_INFER, infer_request(pipeline.model, chunk, wire))
        except BadImage as error:
            # A request with a single image fails as a whole; here it is one of a batch.
            if len(chunk) > 1:
                raise
            results.append(Detections.failed(error.status, str(error)))
        else:
            results += read_response(response, pipeline, len(chunk))
    return results


def detect(
    pipeline: Pipeline, image: EncodedImage, parameters: RequestParameters
) -> Conversation[Detections]:
    """Detect in one image; raises BadImage when it cannot be read."""
    (detections,) = yield from detect_batch(pipeline, [image], parameters)
    if detections.error is not None:
        raise BadImage(detections.error, detections.status)
    return detections


def report(pipeline: Pipeline) -> Conversation[ServerReport]:
    """Ask the server for its version and for the statistics of the pipeline's models."""
    server = yield Call("ServerMetadata", service_pb2.ServerMetadataRequest())
    statistics = yield Call("ModelStatistics", service_pb2.ModelStatisticsRequest())
    name = pipeline.model.removesuffix("_bls")
    return ServerReport(
        server=server.name,
        server_version=server.version,
        pipeline=pipeline,
        statistics=statistics_from_response(statistics, model_names(name).all),
    )
