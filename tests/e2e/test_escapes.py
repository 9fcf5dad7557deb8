"""Paths for names of models lead nobody out of the repository; who is exposed is told so."""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests import images
from tests.e2e.conftest import build_tiny
from tests.serving import Serving, serving
from tests.tiny_detector import coloured_square
from thin_client.wire import infer_request

# Each leads, from the repository, to a model that is there and would load.
NAMES = ("../outside", "tiny/../../outside", "./../outside", "tiny/../tiny")
SQUARE = images.encoded(coloured_square("red"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, Path]]:
    folder = tmp_path_factory.mktemp("escapes")
    build_tiny(folder, folder / "r")
    # A model that says so when it is loaded.
    outside = folder / "outside"
    shutil.copytree(folder / "r" / "tiny_postprocess", outside)
    config = outside / "config.pbtxt"
    config.write_text(config.read_text().replace("tiny_postprocess", "outside"))
    trace = folder / "it_ran"
    code = outside / "1" / "model.py"
    code.write_text(f"open({str(trace)!r}, 'w').close()\n{code.read_text()}")
    with serving(folder / "r") as server:
        yield server, trace


def refused(call: grpc.UnaryUnaryMultiCallable, request: object) -> str:
    with pytest.raises(grpc.RpcError) as error:
        call(request, timeout=30)
    return str(error.value.details())


@pytest.mark.parametrize("name", NAMES)
def test_no_call_of_grpc_takes_a_path_for_a_model(running: tuple[Serving, Path], name: str) -> None:
    server, trace = running
    with grpc.insecure_channel(server.url, [("grpc.enable_http_proxy", 0)]) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        said = [
            refused(stub.ModelInfer, infer_request(name, [SQUARE], {})),
            refused(stub.ModelConfig, service_pb2.ModelConfigRequest(name=name)),
            refused(stub.ModelMetadata, service_pb2.ModelMetadataRequest(name=name)),
            refused(stub.ModelStatistics, service_pb2.ModelStatisticsRequest(name=name)),
        ]
        assert not stub.ModelReady(service_pb2.ModelReadyRequest(name=name)).ready
        with pytest.raises(grpc.RpcError):
            stub.RepositoryModelLoad(
                service_pb2.RepositoryModelLoadRequest(model_name=name), timeout=30
            )
        # The server is as it was, and said nothing of where it is.
        stub.ModelInfer(infer_request("tiny", [SQUARE], {}), timeout=30)
    assert not any(str(server.repository.parent) in sentence for sentence in said)
    assert not trace.exists()


@pytest.mark.parametrize("name", ["..%2Foutside", "%2e%2e/outside", "tiny%2F..%2F..%2Foutside"])
@pytest.mark.parametrize("call", ["v2/models/{}/infer", "v2/repository/models/{}/load"])
def test_no_call_of_http_takes_a_path_for_a_model(
    running: tuple[Serving, Path], name: str, call: str
) -> None:
    server, trace = running
    address = f"http://127.0.0.1:{server.http_port}/{call.format(name)}"
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(
            urllib.request.Request(address, b"{}"),
            timeout=30,
        )
    with error.value as answer:
        assert 400 <= answer.status < 500 or b"Path" not in answer.read()
    assert not trace.exists()


def test_a_server_that_others_reach_says_which_holes_it_has(tiny_repository: Path) -> None:
    every_address = "0.0.0.0"  # noqa: S104 - what is tested
    with serving(tiny_repository, "--address", every_address) as exposed:
        exposed.stop()
        (warning,) = [line for line in exposed.errors if "known holes" in line]
    assert warning.startswith("framewire: warning: others can reach 0.0.0.0, and Triton 24.10 has")
    assert "CVE-2026-24207" in warning
    assert "without --restrict" in warning
    with serving(tiny_repository) as on_loopback:
        on_loopback.stop()
        assert not [line for line in on_loopback.errors if "known holes" in line]
