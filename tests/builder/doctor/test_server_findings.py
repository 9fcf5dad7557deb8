"""Servers that are not there, or not Triton as we know it; the rest is in tests/e2e."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from builder.cli import main
from builder.doctor import readiness
from builder.doctor.case import Case
from builder.doctor.finding import CannotLook
from builder.serving.model_processes import Served
from builder.serving.ports import free_ports
from tests.builder.doctor.examining import PORT_OPTIONS, doctor


class OldTriton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Says that it is of 2023; such a Triton is not to be had here."""

    version = "2.40.0"
    ready = True
    models: tuple[str, ...] = ()

    def ServerLive(self, *_: object) -> service_pb2.ServerLiveResponse:  # noqa: N802
        return service_pb2.ServerLiveResponse(live=True)

    def ServerReady(self, *_: object) -> service_pb2.ServerReadyResponse:  # noqa: N802
        return service_pb2.ServerReadyResponse(ready=self.ready)

    def ServerMetadata(self, *_: object) -> service_pb2.ServerMetadataResponse:  # noqa: N802
        return service_pb2.ServerMetadataResponse(name="triton", version=self.version)

    def RepositoryIndex(self, *_: object) -> service_pb2.RepositoryIndexResponse:  # noqa: N802
        model = service_pb2.RepositoryIndexResponse.ModelIndex
        models = [model(name=name, version="1", state="READY") for name in self.models]
        return service_pb2.RepositoryIndexResponse(models=models)


@contextmanager
def answering(servicer: OldTriton) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def test_a_triton_that_is_too_old_and_has_known_holes() -> None:
    with answering(OldTriton()) as url:
        said = doctor("--url", url)
    assert "is 2.40.0, of container 23.11, and pipelines need 24.10" in said.the("triton-too-old")
    told = said.the("triton-vulnerable")
    assert told.startswith("warning: ")
    assert "CVE-2025-23310" in told or "CVE-2026-" in told
    assert "`make image-gpu`" in told


def test_the_oldest_triton_that_pipelines_are_tested_with_is_not_too_old() -> None:
    servicer = OldTriton()
    servicer.version = "2.51.0"
    with answering(servicer) as url:
        said = doctor("--url", url)
    assert "triton-too-old" not in said.names()
    assert said.report["looked_at"]["version"].startswith("24.10, ")


def test_a_server_without_models() -> None:
    with answering(OldTriton()) as url:
        assert "has no models" in doctor("--url", url).the("no-pipelines")


def test_a_server_that_is_not_ready_for_another_reason() -> None:
    servicer = OldTriton()
    servicer.ready, servicer.models = False, ("somebody_elses",)
    with answering(servicer) as url:
        told = doctor("--url", url).the("server-not-ready")
    assert told.startswith(f"error: the Triton at {url} runs and does not call itself ready")


def test_a_triton_of_somebody_s_own_is_no_reason_to_guess() -> None:
    servicer = OldTriton()
    servicer.version = "nightly"
    with answering(servicer) as url:
        said = doctor("--url", url)
    assert "'nightly' is no version" in said.report["not_looked_at"]["version"]
    assert "triton-vulnerable" not in said.names()


def test_what_is_another_machine_s_is_not_looked_at_here() -> None:
    # A process that is not called tritonserver is as invisible as one of another machine.
    with answering(OldTriton()) as url:
        said = doctor("--url", url)
    for what in ("shared memory", "cores", "load", "regions", "packages", "allocator"):
        assert "run this on its machine" in said.report["not_looked_at"][what]


def test_nobody_answers_where_somebody_should(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    said = doctor("--url", f"127.0.0.1:{port}", folder=tmp_path)
    # Of a repository nobody spoke.
    assert said.names("error") == {"server-unreachable"}
    told = said.the("server-unreachable")
    assert told.startswith(f"error: no Triton answers on gRPC at 127.0.0.1:{port} (")
    assert "`framewire serve`" in told


class Restricted:
    """A server that does not tell its models, as without the admin key."""

    process = 1

    @property
    def index(self) -> dict[str, object]:
        raise CannotLook("it does not tell")


def test_a_stopped_process_is_told_without_the_admin_key_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readiness, "stubs", lambda _: {42: Served("tiny_bls", 1)})
    monkeypatch.setattr(readiness, "state_of", lambda _: "T")
    case = Case(None, Restricted(), None, {}, None, 0.1)  # type: ignore[arg-type]
    seen = readiness.look_at_processes(case)
    assert seen is not None
    assert [each.name for each in seen.findings] == ["process-stopped"]
    monkeypatch.setattr(readiness, "state_of", lambda _: "S")
    with pytest.raises(CannotLook, match="does not tell"):
        readiness.look_at_processes(case)


# It has the name and the port of a Triton, and answers nobody.
DEAF = """
import ctypes, socket, sys, time
ctypes.CDLL(None).prctl(15, b"tritonserver", 0, 0, 0)
with socket.create_server(("127.0.0.1", 0)) as listening:
    print(listening.getsockname()[1], flush=True)
    time.sleep(600)
"""


@contextmanager
def deaf_triton(*options: str) -> Iterator[tuple[int, int]]:
    """Its process id and its port."""
    command = [sys.executable, "-c", DEAF, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
        process.kill()


def test_a_triton_that_does_not_answer_is_looked_at_unasked() -> None:
    with deaf_triton() as (pid, port):
        ports = zip(PORT_OPTIONS, [port, *free_ports(3)], strict=True)
        said = doctor(*(str(word) for pair in ports for word in pair))
    told = said.the("server-unreachable")
    assert f"tritonserver (process {pid}) listens at 127.0.0.1:{port} and does not answer" in told
    assert f"`kill {pid}`" in told
    assert "port-taken" not in said.names()


def test_a_triton_that_was_stopped() -> None:
    with deaf_triton() as (pid, port):
        os.kill(pid, signal.SIGSTOP)
        said = doctor("--url", f"127.0.0.1:{port}")
    assert f"`kill -CONT {pid}`" in said.the("process-stopped")
    assert "server-unreachable" not in said.names()


def test_a_triton_that_wants_tls() -> None:
    with deaf_triton("--grpc-use-ssl=true") as (_, port):
        told = doctor("--url", f"127.0.0.1:{port}").the("server-unreachable")
    assert f"`framewire doctor --url grpcs://127.0.0.1:{port}`" in told


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--watch-seconds", "0"], "--watch-seconds"),
        (["--url", "http://127.0.0.1:8000"], "speaks gRPC"),
        (["--url", "127.0.0.1:1", "--root-certificates", "x.pem"], "without TLS"),
    ],
)
def test_options_that_make_no_sense(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", *options]) == 1
    assert words in capsys.readouterr().err
