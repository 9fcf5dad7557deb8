"""The pipeline that a stream goes to."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import grpc
from tritonclient.grpc import service_pb2

from thin_client.connection import Connection
from thin_client.errors import ServerUnreachable
from thin_client.failures import diagnose
from thin_client.parameters import WireParameters
from thin_client.pipeline import Pipeline

__all__ = ["Target", "wait_until_ready"]

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0


@dataclass(frozen=True)
class Target:
    """Where packets go.

    Attributes:
        channel: open gRPC channel.
        stub: of KServe's GRPCInferenceService on it.
        connection: for the headers, and the address in sentences.
        pipeline: whose ``model`` is NAME_stream, or NAME for JPEGs.
        streams: whether ``model`` takes packets of a stream; else it takes images.
        parameters: thresholds.
    """

    channel: Any
    stub: Any
    connection: Connection
    pipeline: Pipeline
    streams: bool
    parameters: WireParameters


def wait_until_ready(target: Target, give_up_s: float, stopped: threading.Event) -> bool:
    """Wait until the pipeline is ready again; False when ``stopped`` was set meanwhile.

    Raises:
        ServerUnreachable: it was not within ``give_up_s``.
    """
    began, pause_s = time.monotonic(), _FIRST_PAUSE_S
    request = service_pb2.ModelReadyRequest(name=target.pipeline.model)
    while not stopped.is_set():
        try:
            answer = target.stub.ModelReady(
                request, timeout=2.0, metadata=target.connection.metadata
            )
            if answer.ready:
                return True
            why = "the pipeline is not ready"
        except grpc.RpcError as error:
            why = str(diagnose(error, request, target.connection.url, 2.0))
        if time.monotonic() - began > give_up_s:
            raise ServerUnreachable(f"the stream could not go on within {give_up_s:g} s: {why}")
        stopped.wait(pause_s)
        pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)
    return False
