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
from thin_client.errors import (
    BadImage,
    ContractMismatch,
    FramewireError,
    PipelineNotFound,
    PipelineNotReady,
    RequestRefused,
)
from thin_client.parameters import RequestParameters, wire_parameters
from thin_client.pipeline import (
    Pipeline,
    explain_missing,
    pipeline_from_config,
    the_only_pipeline,
)
from thin_client.server_report import ServerReport, statistics_from_response
from thin_client.versions import Versions
from thin_client.wire import EncodedImage, encoded_image, infer_request, read_response, set_timeout

__all__ = ["LINGER_S", "Call", "Conversation", "connect", "detect", "detect_batch", "report"]

T = TypeVar("T")

# Sendings of one request while versions change.
MOST_TURNS = 10
# Of a config for one answer: where two servers take turns, each with a version of its own, the
# first time it is that of the other.
MOST_READINGS = 2


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

    def lingers(self, timeout_s: float | None) -> bool:
        """Return whether the call is to go on for LINGER_S when nobody waits for it any more.

        The server, which knows how long it is waited for, then ends it. To hang up in that very
        moment may crash the gRPC endpoint of a Triton before 25.06, and where time is short many
        do.
        """
        return self.method == _INFER and timeout_s is not None and timeout_s < _SHORT_S


_INFER = "ModelInfer"
_SHORT_S = 5.0
# Longer than Triton takes to look for requests in its queues whose time is over: half a second.
LINGER_S = 1.0
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
    versions: Versions, images: Sequence[EncodedImage], parameters: RequestParameters
) -> Conversation[list[Detections]]:
    """Detect in a batch of any size; an image that cannot be read gets a status, not an error."""
    encoded = [encoded_image(image) for image in images]
    results: list[Detections] = []
    while len(results) < len(encoded):
        results += yield from _detect_some(versions, encoded[len(results) :], parameters)
    return results


def detect(
    versions: Versions, image: EncodedImage, parameters: RequestParameters
) -> Conversation[Detections]:
    """Detect in one image; raises BadImage when it cannot be read."""
    (detections,) = yield from detect_batch(versions, [image], parameters)
    if detections.error is not None:
        raise BadImage(detections.error, detections.status)
    return detections


def _detect_some(
    versions: Versions, images: Sequence[bytes], parameters: RequestParameters
) -> Conversation[list[Detections]]:
    """Detect in as many of ``images`` as one request takes, with one version of the pipeline.

    What a request takes from the config, the index of a class and the size of the batch, is of the
    version that is expected to answer. Where another one has answered, which understands something
    else by it, the request is sent again.
    """
    pipeline = versions.latest
    for turn in range(MOST_TURNS):
        chunk = images[: pipeline.max_batch_size]
        try:
            wire = wire_parameters(pipeline.labels, **parameters)
            response = yield Call(_INFER, infer_request(pipeline.model, chunk, wire))
            answered = yield from _version_of(response, versions)
            if answered is None:
                # The server has changed to yet another version since.
                pipeline = versions.latest
            elif answered == pipeline or wire == wire_parameters(answered.labels, **parameters):
                return read_response(response, answered, len(chunk))
            elif turn % 2 == 0:
                # Not each time: of two servers that take turns, each with a version of its own, the
                # one that is asked would always be the other.
                pipeline = answered
        except BadImage as error:
            # A request with a single image fails as a whole; here it is one of a batch.
            if len(chunk) > 1:
                raise
            return [Detections.failed(error.status, str(error))]
        except RequestRefused:
            of_config = len(chunk) > 1 or _names_classes(parameters)
            if not (of_config and (yield from _has_changed(versions, pipeline))):
                raise
            pipeline = versions.latest
        except ContractMismatch:
            if not (yield from _has_changed(versions, pipeline)):
                raise
            pipeline = versions.latest
    raise PipelineNotReady(
        f"the pipeline {pipeline.model!r} answers with different versions by turns, to which the"
        " same names of classes mean different ones; try again when all its servers have the same"
    )


def _version_of(response: Any, versions: Versions) -> Conversation[Pipeline | None]:
    """Return the version that an answer is from; None where its config cannot be had any more."""
    found = versions.of(response)
    for _ in range(MOST_READINGS):
        if found is not None:
            break
        yield from _read_config(versions)
        found = versions.of(response)
    return found


def _names_classes(parameters: RequestParameters) -> bool:
    """Return whether indices of classes are to be looked up."""
    classes = parameters.get("classes") or ()
    return isinstance(classes, str) or any(isinstance(each, str) for each in classes)


def _has_changed(versions: Versions, pipeline: Pipeline) -> Conversation[bool]:
    """Return whether the server has another version by now than the one that was asked."""
    try:
        return (yield from _read_config(versions)) != pipeline
    except ContractMismatch:
        raise
    except FramewireError:
        # What was refused is the news, not that the server has gone since.
        return False


def _read_config(versions: Versions) -> Conversation[Pipeline]:
    """Read the pipeline's config once more."""
    model = versions.latest.model
    response = yield Call("ModelConfig", service_pb2.ModelConfigRequest(name=model))
    return versions.learn(pipeline_from_config(response.config))


def report(versions: Versions) -> Conversation[ServerReport]:
    """Ask the server for its version, the pipeline's config and its models' statistics."""
    pipeline = yield from _read_config(versions)
    server = yield Call("ServerMetadata", service_pb2.ServerMetadataRequest())
    statistics = yield Call("ModelStatistics", service_pb2.ModelStatisticsRequest())
    name = pipeline.model.removesuffix("_bls")
    return ServerReport(
        server=server.name,
        server_version=server.version,
        pipeline=pipeline,
        statistics=statistics_from_response(statistics, model_names(name).all, pipeline.version),
    )
