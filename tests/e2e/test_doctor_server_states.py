"""What ``framewire doctor`` says of a server whether or not anybody sends it anything."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tritonclient.grpc import InferenceServerClient

from builder.pipelines.config_files import config_text, read_config
from builder.pipelines.repository import build_pipeline
from builder.serving.embedded import find_embedded_triton
from builder.serving.ports import free_ports
from builder.serving.server_options import ModelControl
from builder.serving.supervision.health_endpoint import health_endpoint
from builder.serving.supervision.readiness_board import ReadinessBoard
from builder.settings import BuildSettings
from tests import serving
from tests.builder.doctor.examining import PORT_OPTIONS, doctor
from tests.conftest import ROOT
from tests.e2e.doctored import bare_triton
from tests.serving import Serving, children, framewire
from tests.tiny_detector import save_tiny_detector

EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - in a network of its own


@pytest.fixture
def repository(tiny_repository: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(tiny_repository, tmp_path / "models"))


def test_a_server_that_answers_here_is_looked_at_unasked(server: Serving, tmp_path: Path) -> None:
    ports = (server.grpc_port, server.http_port, server.metrics_port, server.health_port)
    options = zip(PORT_OPTIONS, map(str, ports), strict=True)
    said = doctor(*(word for pair in options for word in pair), folder=tmp_path)
    assert f"127.0.0.1:{server.grpc_port} is ready, with codes, tiny" in str(said.report)
    assert said.report["looked_at"]["ports"].endswith("are the server's")
    # And so is what it serves, wherever it is run.
    assert str(server.repository) in said.report["looked_at"]["repository"]


def test_where_nobody_sends_nothing_is_said_about_traffic(server: Serving) -> None:
    said = doctor("--url", server.url)
    for what in ("batches", "queues", "backlog", "failures"):
        assert "--watch-seconds" in said.report["not_looked_at"][what]


def test_an_allocator_that_is_not_tuned(tiny_repository: Path) -> None:
    with bare_triton(tiny_repository, tuned=False) as triton:
        said = doctor("--url", triton.grpc_url)
    told = said.the("allocator-untuned")
    assert f"warning: tritonserver (process {triton.pid}) runs without MALLOC_MMAP" in told
    assert "export MALLOC_MMAP_THRESHOLD_=134217728" in told
    assert "OMP_NUM_THREADS=1" in said.the("threads-unlimited")


def test_another_allocator_will_do(
    tiny_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One that is named so: it is the name that is looked at.
    libraries = find_embedded_triton().library_path[0]
    shutil.copy(next(libraries.glob("libkeyutils-*")), tmp_path / "libjemalloc.so.2")
    monkeypatch.setenv("LD_PRELOAD", str(tmp_path / "libjemalloc.so.2"))
    with bare_triton(tiny_repository, tuned=False) as triton:
        monkeypatch.delenv("LD_PRELOAD")
        said = doctor("--url", triton.grpc_url)
    assert "allocator-untuned" not in said.names()


def test_processes_that_died_or_were_stopped(tiny_repository: Path) -> None:
    with bare_triton(tiny_repository) as triton:
        assert not doctor("--url", triton.grpc_url).names("error")
        stubs = {model_of(pid): pid for pid in children(triton.pid)}
        os.kill(stubs["tiny_preprocess"], signal.SIGKILL)
        os.kill(stubs["tiny_postprocess"], signal.SIGSTOP)
        said = doctor("--url", triton.grpc_url)
        os.kill(stubs["tiny_postprocess"], signal.SIGCONT)
    assert "tiny_preprocess has 1 of its 2 processes left" in said.the("process-died")
    told = said.the("process-stopped")
    assert f"`kill -CONT {stubs['tiny_postprocess']}`" in told


def test_what_a_supervisor_tells_probes_and_that_there_is_none(tiny_repository: Path) -> None:
    (port,) = free_ports(1)
    board = ReadinessBoard(["tiny"])
    with bare_triton(tiny_repository) as triton:
        alone = doctor("--url", triton.grpc_url)
        # Of this process, which is the Triton's parent as `framewire serve` is of its own.
        with health_endpoint("127.0.0.1", port, board):
            board.tell({"tiny": "tiny_preprocess does not answer"})
            hanging = doctor("--url", triton.grpc_url)
            board.tell({"tiny": None})
            well = doctor("--url", triton.grpc_url)
    told = alone.the("not-supervised")
    assert told.startswith(f"hint: nobody watches over tritonserver (process {triton.pid})")
    told = hanging.the("not-ready-for-probes")
    assert f"supervisor on port {port} tells probes not to send" in told
    assert "(tiny: tiny_preprocess does not answer)" in told
    assert not well.names() & {"not-supervised", "not-ready-for-probes"}


def model_of(stub: int) -> str:
    return Path(Path(f"/proc/{stub}/cmdline").read_text().split("\0")[1]).parts[-3]


def test_a_pipeline_that_is_not_ready_and_why(tiny_repository: Path) -> None:
    with bare_triton(tiny_repository, control=ModelControl.EXPLICIT) as triton:
        with InferenceServerClient(triton.grpc_url) as client:
            client.unload_model("tiny_network")
            while state_of(client, "tiny_network") != "unloaded":
                time.sleep(0.05)
        said = doctor("--url", triton.grpc_url)
    told = said.the("pipeline-not-ready")
    assert "tiny_network is not ready (unloaded), nor is tiny | " in told
    assert "`framewire load tiny --url" in told


def state_of(client: InferenceServerClient, model: str) -> str:
    """Why a model is not ready, as Triton has it."""
    models = client.get_model_repository_index().models
    return next(each.reason for each in models if each.name == model)


def test_a_server_that_has_not_taken_the_new_version(repository: Path, tmp_path: Path) -> None:
    with bare_triton(repository, control=ModelControl.EXPLICIT) as triton:
        model = save_tiny_detector(tmp_path / "tiny.onnx")
        build_pipeline(model, repository, BuildSettings("tiny", conf=0.4))
        said = doctor("--url", triton.grpc_url, "--repository", repository)
        told = said.the("server-behind")
        assert "serves version 1 of tiny, and version 2 is the repository's" in told
        mend = re.findall(r"`framewire ([^`]*)`", told)[0].split()
        subprocess.run(framewire(*mend), check=True, capture_output=True)
        after = doctor("--url", triton.grpc_url, "--repository", repository)
        elsewhere = doctor("--url", triton.grpc_url, "--repository", ROOT / "model_repository")
    assert "server-behind" not in after.names()
    assert str(repository) in elsewhere.the("another-repository")


def test_what_the_server_serves_counts_too(repository: Path) -> None:
    for model in ("tiny", "tiny_bls"):
        config = read_config(repository / model)
        config.parameters["contract_fingerprint"].string_value = "0123456789abcdef"
        config.parameters["labels"].string_value = '["0", "1", "2"]'
        (repository / model / "config.pbtxt").write_text(config_text(config))
    with bare_triton(repository) as triton:
        url = triton.grpc_url
        said = doctor("--url", url, "--repository", ROOT / "model_repository")
    told = said.all_of("contract-mismatch")
    assert [text.split()[1] for text in told] == ["tiny", "tiny_bls"]
    assert all(f"in {url} was built by framewire" in text for text in told)
    assert "3 of the 3 classes of tiny in" in said.the("labels-missing")


def test_too_many_processes_of_a_running_server(repository: Path) -> None:
    config = read_config(repository / "tiny_preprocess")
    config.instance_group[0].count = 3
    (repository / "tiny_preprocess" / "config.pbtxt").write_text(config_text(config))
    cores = os.sched_getaffinity(0)
    # The server inherits it, and it is the server's that counts.
    os.sched_setaffinity(0, [min(cores)])
    try:
        with bare_triton(repository) as triton:
            os.sched_setaffinity(0, cores)
            other = ROOT / "model_repository"
            said = doctor("--url", triton.grpc_url, "--repository", other)
    finally:
        os.sched_setaffinity(0, cores)
    told = said.the("cores-oversubscribed")
    assert "tiny_preprocess decodes in 3 processes, 3 threads on 1 core" in told


def test_a_server_that_listens_to_everybody(
    tiny_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In a network of its own, where nobody is.
    alone = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c"]
    alone += ['ip link set lo up && exec "$@"', "sh"]
    monkeypatch.setattr(serving, "framewire", lambda *words: [*alone, *framewire(*words)])
    with serving.serving(tiny_repository, "--address", EVERY_ADDRESS) as server:
        namespaces = ("--user", "--net", "--preserve-credentials")
        within = ["nsenter", "--target", str(server.process.pid), *namespaces]
        said = doctor("--url", server.url, before=within)
    assert "listens on 0.0.0.0 (gRPC), 0.0.0.0 (HTTP) and lets" in said.the("open-to-all")
    assert "`framewire serve --restrict`" in said.the("open-to-all")
    assert said.the("triton-vulnerable").startswith("warning: ")
