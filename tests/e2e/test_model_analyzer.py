"""What ``framewire model-analyzer`` writes, used as Model Analyzer 1.58 uses it.

Model Analyzer itself is not in the test environment: it wants one of its own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from google.protobuf import json_format
from tritonclient.grpc import service_pb2, service_pb2_grpc

from builder.cli import main
from builder.pipelines.config_files import read_config
from builder.pipelines.repository import build_pipeline
from builder.serving.running_server import model_states
from builder.settings import BuildSettings
from tests.conftest import ROOT
from tests.serving import port_options
from tests.tiny_detector import save_tiny_detector
from thin_client.connection import Connection

IMAGE = ROOT / "samples" / "desk.jpg"
READY_S = 60
GONE_S = 30


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    model = save_tiny_detector(folder / "tiny.onnx")
    build_pipeline(model, folder / "repository", BuildSettings("tiny", max_batch=4))
    return folder / "repository"


def written(repository: Path, out: Path, *options: str, model: str) -> dict[str, Any]:
    ports, _ = port_options()
    where = ["--repository", str(repository), "--out", str(out)]
    assert main(["model-analyzer", str(IMAGE), *where, *ports, *options]) == 0
    config: dict[str, Any] = yaml.safe_load((out / model / "config.yaml").read_text())
    return config


def port_of(config: dict[str, Any], endpoint: str) -> str:
    return str(config[endpoint]).removesuffix("/metrics").rpartition(":")[2]


def server_command(config: dict[str, Any]) -> list[str]:
    return [
        config["triton_server_path"],
        *("--model-repository", config["model_repository"]),
        *("--model-control-mode", "explicit"),
        *("--http-port", port_of(config, "triton_http_endpoint")),
        *("--grpc-port", port_of(config, "triton_grpc_endpoint")),
        *("--metrics-port", port_of(config, "triton_metrics_url")),
        *("--metrics-interval-ms", "1000", "--strict-model-config", "false"),
    ]


def await_server(url: str) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        # Nothing is loaded yet, but what could be is listed.
        if model_states(Connection(url)):
            return
        time.sleep(0.2)
    raise TimeoutError(f"no server at {url}")


@contextmanager
def running(config: dict[str, Any]) -> Iterator[service_pb2_grpc.GRPCInferenceServiceStub]:
    process = subprocess.Popen(
        server_command(config),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        await_server(config["triton_grpc_endpoint"])
        with grpc.insecure_channel(config["triton_grpc_endpoint"]) as channel:
            yield service_pb2_grpc.GRPCInferenceServiceStub(channel)
    finally:
        process.terminate()
        process.wait(GONE_S)


def load_changed(
    stub: service_pb2_grpc.GRPCInferenceServiceStub, repository: Path, model: str, **changed: Any
) -> None:
    """Load a model with changed settings under its own name, as Model Analyzer does."""
    settings = json_format.MessageToDict(
        read_config(repository / model), preserving_proto_field_name=True
    )
    request = service_pb2.RepositoryModelLoadRequest(model_name=model)
    request.parameters["config"].string_param = json.dumps({**settings, **changed})
    stub.RepositoryModelLoad(request, timeout=READY_S)


@pytest.mark.parametrize(
    ("options", "model"), [((), "tiny"), (("--bls",), "tiny_bls")], ids=["ensemble", "bls"]
)
def test_the_pipeline_with_other_settings_answers_perf_analyzer(
    repository: Path, tmp_path: Path, options: tuple[str, ...], model: str
) -> None:
    config = written(repository, tmp_path, *options, model=model)
    served = Path(config["model_repository"])
    instances = {"instance_group": [{"count": 2, "kind": "KIND_CPU"}], "dynamic_batching": {}}
    with running(config) as stub:
        for called in config["cpu_only_composing_models"]:
            load_changed(stub, served, called, max_batch_size=2, **instances)
        load_changed(stub, served, model, max_batch_size=2)
        flags = config["profile_models"][model]["perf_analyzer_flags"]
        table = tmp_path / "table.csv"
        measured = subprocess.run(
            [
                *(config["perf_analyzer_path"], "-m", model, "-b", "1", "-i", "grpc"),
                *("-u", config["triton_grpc_endpoint"], "-f", str(table), "--verbose-csv"),
                *("--collect-metrics", "--metrics-url", config["triton_metrics_url"]),
                *(text for name, value in flags.items() for text in (f"--{name}", str(value))),
                *("--concurrency-range", "2"),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        loaded = stub.ModelConfig(service_pb2.ModelConfigRequest(name="tiny_network")).config
    assert measured.returncode == 0, measured.stdout + measured.stderr
    assert table.read_text().splitlines()[1].startswith("2,")
    assert (loaded.max_batch_size, loaded.instance_group[0].count) == (2, 2)


def test_the_server_ends_with_who_started_it(repository: Path, tmp_path: Path) -> None:
    # Model Analyzer starts it in a session of its own, so no signal to a group would reach it.
    config = written(repository, tmp_path, model="tiny")
    starts = (
        "import subprocess, sys, time; "
        "subprocess.Popen(sys.argv[1:], start_new_session=True); time.sleep(600)"
    )
    with subprocess.Popen(
        ["python3", "-c", starts, *server_command(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as starter:
        await_server(config["triton_grpc_endpoint"])
        os.kill(starter.pid, signal.SIGKILL)
    deadline = time.monotonic() + GONE_S
    while model_states(Connection(config["triton_grpc_endpoint"])):
        assert time.monotonic() < deadline
        time.sleep(0.2)
