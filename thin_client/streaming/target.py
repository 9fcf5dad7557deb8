"""The pipeline that a stream goes to."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import grpc
from tritonclient.grpc import service_pb2

from thin_client.connection import Connection
from thin_client.errors import ServerUnreachable
from thin_client.failures import diagnose
from thin_client.parameters import RequestParameters, WireParameters, wire_parameters
from thin_client.pipeline import Pipeline, pipeline_from_config
from thin_client.streaming.link import Link
from thin_client.streaming.opening import streams_from_config
from thin_client.streaming.probe import measure_link
from thin_client.versions import Versions

__all__ = ["Target", "beside", "make_target", "measured", "wait_until_ready"]

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0


@dataclass(frozen=True)
class Target:
    """Where packets go.

    Attributes:
        channel: open gRPC channel.
        stub: of KServe's GRPCInferenceService on it.
        connection: for the headers, and the address in sentences.
        pipeline: whose ``model`` is NAME_stream, or NAME for JPEGs; the version that is expected
            to answer.
        streams: whether ``model`` takes packets of a stream; else it takes images.
        asked: thresholds and classes, as they were asked for.
        parameters: the same as that version takes them.
        versions: of ``pipeline``, whose configs have been read.
    """

    channel: Any
    stub: Any
    connection: Connection
    pipeline: Pipeline
    streams: bool
    asked: RequestParameters
    parameters: WireParameters
    versions: Versions

    def version_of(self, response: Any) -> Pipeline | None:
        """Return the version that an answer can be read with; None where it is of another.

        None too where that version understands other classes by what was sent.
        """
        answered = self.versions.of(response)
        if answered is None or answered == self.pipeline:
            return answered
        same = wire_parameters(answered.labels, **self.asked) == self.parameters
        return answered if same else None


def make_target(
    channel: Any,
    stub: Any,
    connection: Connection,
    pipeline: Pipeline,
    asked: RequestParameters,
    *,
    streams: bool,
) -> Target:
    """Return where packets go; see Target.

    Raises:
        InvalidRequestParameter: the pipeline has no class of a name that was asked for.
    """
    parameters = wire_parameters(pipeline.labels, **asked)
    return Target(
        channel, stub, connection, pipeline, streams, asked, parameters, Versions(pipeline)
    )


def beside(images: Target, video: Pipeline) -> Target:
    """Return where packets of streams go, where JPEGs go to ``images``."""
    return make_target(
        images.channel, images.stub, images.connection, video, images.asked, streams=True
    )


def measured(target: Target) -> Link:
    """Return the link to a target's server, measured now.

    Raises:
        FramewireError: the server does not answer.
    """
    try:
        return measure_link(target.channel, target.connection.metadata)
    except grpc.RpcError as error:
        raise diagnose(error, None, target.connection.url, 10.0) from error


def wait_until_ready(
    target: Target, others: Sequence[Target], give_up_s: float, stopped: threading.Event
) -> list[Target] | None:
    """Wait until the pipeline is ready again, and read its configs: it may have another version.

    Args:
        target: that has to be ready.
        others: whose configs are to be read.
        give_up_s: how long to wait.
        stopped: ends the waiting when it is set.

    Returns:
        ``others`` as they are now; None when ``stopped`` was set.

    Raises:
        ServerUnreachable: it was not ready within ``give_up_s``.
        ContractMismatch: it speaks another contract by now.
        InvalidRequestParameter: it has no class any more of a name that was asked for.
    """
    began, pause_s = time.monotonic(), _FIRST_PAUSE_S
    request = service_pb2.ModelReadyRequest(name=target.pipeline.model)
    while not stopped.is_set():
        try:
            answer = target.stub.ModelReady(
                request, timeout=2.0, metadata=target.connection.metadata
            )
            if answer.ready:
                return [_read_again(each) for each in others]
            why = "the pipeline is not ready"
        except grpc.RpcError as error:
            why = str(diagnose(error, request, target.connection.url, 2.0))
        if time.monotonic() - began > give_up_s:
            raise ServerUnreachable(f"the stream could not go on within {give_up_s:g} s: {why}")
        stopped.wait(pause_s)
        pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)
    return None


def _read_again(target: Target) -> Target:
    """Return a target with the version that its server has now."""
    response = target.stub.ModelConfig(
        service_pb2.ModelConfigRequest(name=target.pipeline.model),
        timeout=2.0,
        metadata=target.connection.metadata,
    )
    read = streams_from_config if target.streams else pipeline_from_config
    pipeline = target.versions.learn(read(response.config))
    parameters = wire_parameters(pipeline.labels, **target.asked)
    return replace(target, pipeline=pipeline, parameters=parameters)
