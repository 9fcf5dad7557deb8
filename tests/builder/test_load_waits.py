"""Waits for a network follow how long it took to load when it was built."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from builder.commands import load
from builder.errors import ServerNotReadyError
from builder.pipelines import repository as building
from builder.pipelines.load_waits import longest_wait, wait_of
from builder.pipelines.manifest import read_manifest
from builder.pipelines.repository import build_pipeline
from builder.serving import triton_process
from builder.serving.ports import free_ports
from builder.serving.server import triton_server
from builder.serving.server_options import ServerOptions, triton_arguments
from builder.settings import BuildSettings
from builder.trial.load_wait import wait_after
from builder.trial.network_trial import Trial, try_network
from builder.trial.own_time import measured_seconds
from tests.tiny_detector import save_tiny_detector

TRIAL = Trial("OpenVINO", 1.0, 0.5, {}, 0.5, 2, None)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of two pipelines: a usual one, and one that took 20 s to load and 2 s for a frame."""
    path = save_tiny_detector(tmp_path / "tiny.onnx")
    build_pipeline(path, tmp_path / "r", BuildSettings("usual"))

    def slowly(*arguments: object, **options: object) -> Trial:
        return replace(try_network(*arguments, **options), load_s=20.0, frame_s=2.0)

    monkeypatch.setattr(building, "try_network", slowly)
    build_pipeline(path, tmp_path / "r", BuildSettings("slow", max_batch=4, stream=True))
    return tmp_path / "r"


def test_a_wait_is_ten_times_what_loading_and_a_batch_took() -> None:
    assert wait_after(None, 16) == 120
    assert wait_after(TRIAL, 16) == 120
    assert wait_after(replace(TRIAL, load_s=8.0), 16) == 160
    assert wait_after(replace(TRIAL, load_s=30.0), 2) == 310


def test_the_manifest_and_the_models_that_call_the_network_know_it(repository: Path) -> None:
    for name, wait_s, callers in (
        ("usual", 120, ("bls", "preprocess")),
        ("slow", 280, ("bls", "preprocess", "decode")),
    ):
        assert read_manifest(repository, name).load_wait_s == wait_s
        for caller in callers:
            file = repository / f"{name}_{caller}" / "1" / "settings.json"
            assert json.loads(file.read_text())["network_wait_s"] == str(wait_s)


def test_a_server_waits_for_the_slowest_of_its_pipelines(repository: Path, tmp_path: Path) -> None:
    assert (wait_of(repository, "usual"), wait_of(repository, "slow")) == (120, 280)
    assert longest_wait(repository) == 280
    assert longest_wait(tmp_path / "nothing") == 120
    arguments = triton_arguments(ServerOptions(repository), repository, tmp_path, "x")
    assert "--backend-config=python,stub-timeout-seconds=280" in arguments


def test_a_manifest_that_cannot_be_read_holds_nobody_up(repository: Path) -> None:
    (repository / "slow" / "1" / "pipeline.json").write_text("{")
    assert longest_wait(repository) == 120


def test_one_of_an_older_builder_says_nothing(repository: Path) -> None:
    file = repository / "slow" / "1" / "pipeline.json"
    manifest = json.loads(file.read_text())
    del manifest["load_wait_s"]
    file.write_text(json.dumps(manifest))
    assert wait_of(repository, "slow") == 120


@pytest.mark.parametrize(("given", "expected"), [(None, 280), (7.0, 7.0)])
def test_load_waits_as_long_unless_told_otherwise(
    repository: Path, monkeypatch: pytest.MonkeyPatch, given: float | None, expected: float
) -> None:
    waits = []

    def noted(server: object, name: str, version: int, timeout_s: float, **more: object) -> None:
        waits.append(timeout_s)

    monkeypatch.setattr(load, "load_version", noted)
    monkeypatch.setattr(load, "unload_old_versions", noted)
    load.load_everywhere(repository, "slow", load.connections(["127.0.0.1:1"]), given)
    assert waits == [expected, expected]


def test_whoever_starts_a_server_waits_as_long(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def no_time(folder: Path) -> float:
        asked.append(folder)
        return 0.01

    monkeypatch.setattr(triton_process, "longest_wait", no_time)
    grpc_port, http_port, metrics_port = free_ports(3)
    options = ServerOptions(
        repository, grpc_port=grpc_port, http_port=http_port, metrics_port=metrics_port
    )
    with (
        pytest.raises(ServerNotReadyError, match=r"not ready after 0.01 s"),
        triton_server(options) as server,
    ):
        server.wait_until_ready()
    assert asked == [repository]


def test_time_in_which_others_had_the_processor_does_not_count() -> None:

    with measured_seconds() as taken:
        time.sleep(0.3)
    # Asleep is as good as waiting for a processor.
    assert taken() < 0.25
