"""Connections end after a while, so that clients find servers that were added; no call is lost."""

from __future__ import annotations

import time
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from builder.serving import server_options
from builder.serving.ports import free_ports
from builder.serving.server import triton_server
from builder.serving.server_options import ServerOptions
from tests import images
from tests.tiny_detector import coloured_square

STATES = grpc.ChannelConnectivity


def test_an_old_connection_is_replaced_and_every_call_answered(
    tiny_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_options, "CONNECTION_AGE_S", 1)
    grpc_port, http_port, metrics_port = free_ports(3)
    options = ServerOptions(
        tiny_repository, grpc_port=grpc_port, http_port=http_port, metrics_port=metrics_port
    )
    seen: list[STATES] = []
    with (
        triton_server(options) as server,
        grpc.insecure_channel(server.grpc_url, [("grpc.enable_http_proxy", 0)]) as channel,
    ):
        server.wait_until_ready()
        channel.subscribe(seen.append)
        infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
        deadline = time.monotonic() + 60
        while seen.count(STATES.READY) < 3:
            assert time.monotonic() < deadline, "the connection was never replaced"
            # Raises where a call is not answered; nothing is tried again here.
            assert infer(request(), timeout=30).outputs


def request() -> service_pb2.ModelInferRequest:
    image = images.encoded(coloured_square("red"))
    wanted = service_pb2.ModelInferRequest(model_name="tiny")
    wanted.inputs.add(name="image", datatype="BYTES", shape=[1, 1])
    wanted.raw_input_contents.append(len(image).to_bytes(4, "little") + image)
    return wanted
