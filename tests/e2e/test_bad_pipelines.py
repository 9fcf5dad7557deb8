"""Pipelines that do not load leave the others served: the real server, over bad files."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
from tritonclient.grpc import InferenceServerClient

from builder.benchmark.serving import measured_server
from builder.errors import BuilderError
from builder.settings import Runtime
from builder.verification.serving import served
from tests.bad_pipelines import BAD, GOOD, REASONS, build_good, mend, spoil
from tests.builder.doctor.examining import doctor
from tests.e2e.wire import infer
from tests.serving import Serving, children, framewire, model_of, serving
from tests.supervised import SQUARE, lines, wait_until

PUBLIC = (GOOD, f"{GOOD}_bls")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pipelines by the names of what tests spoil in copies, and one that is left alone."""
    return build_good(tmp_path_factory.mktemp("whole"), *BAD)


@pytest.fixture
def spoilt(whole: Path, tmp_path: Path) -> Callable[..., Path]:
    def copy(*names: str, without: bool = True) -> Path:
        """A copy with ``names`` spoilt, and none of the other bad ones."""
        repository = tmp_path / "repository"
        shutil.copytree(whole, repository)
        for model in repository.iterdir() if without else ():
            if model.name.split("_")[0] not in {GOOD, *names}:
                shutil.rmtree(model)
        spoil(repository, *names)
        return repository

    return copy


@pytest.fixture(scope="module")
def server(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    repository = tmp_path_factory.mktemp("spoilt") / "repository"
    shutil.copytree(whole, repository)
    spoil(repository, *BAD)
    with serving(repository) as running:
        yield running


def answers(server: Serving, name: str) -> None:
    for model in (name, f"{name}_bls"):
        assert infer(server.url, model, [SQUARE])["num_dets"].shape == (1, 1)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(framewire(*arguments), capture_output=True, text=True, check=False)


def load(server: Serving, name: str) -> subprocess.CompletedProcess[str]:
    repository = ("--repository", str(server.repository))
    return run("load", name, *repository, "--url", server.url, "--timeout", "60")


def processes(server: Serving) -> set[str]:
    """Models that have processes."""
    return {model_of(pid) for pid in children(server.triton_pid())} - {""}


def loaded(server: Serving) -> set[str]:
    with InferenceServerClient(server.url) as client:
        models = client.get_model_repository_index().models
    return {model.name for model in models if model.state == "READY"}


def test_the_good_one_is_served_and_nothing_of_the_others_is_loaded(server: Serving) -> None:
    answers(server, GOOD)
    assert all(model.split("_")[0] == GOOD for model in loaded(server))
    assert all(model.split("_")[0] == GOOD for model in processes(server))


def test_each_that_is_not_served_is_told_in_one_line_with_its_reason_and_what_to_do(
    server: Serving,
) -> None:
    told = {line.split()[2]: line for line in lines(server)}
    assert len(told) == len(lines(server)) == len(server.errors) == len(BAD)
    for name in BAD:
        assert told[name].startswith(f"framewire: pipeline {name} is not served: ")
        assert REASONS[name] in told[name]
        assert (
            f"`framewire load {name} --repository {server.repository} --url {server.url}`"
            in told[name]
        )


def test_probes_are_told_which_is_not_served(server: Serving) -> None:
    assert server.ready("/livez") == (HTTPStatus.OK, {"live": True})
    status, told = server.ready()
    assert status == HTTPStatus.SERVICE_UNAVAILABLE
    assert told["pipelines"] == {**dict.fromkeys(BAD, False), GOOD: True}
    assert all(f"{name} did not load" in told["why"] for name in BAD)
    assert server.ready(f"/readyz/{GOOD}")[0] == HTTPStatus.OK
    assert server.ready("/readyz/network")[0] == HTTPStatus.SERVICE_UNAVAILABLE


def test_health_names_every_one_that_is_not_served(server: Serving) -> None:
    supervised = run("health", "--health-port", str(server.health_port))
    by_triton = run(
        "health", "--repository", str(server.repository), "--http-port", str(server.http_port)
    )
    assert supervised.returncode == by_triton.returncode == 1
    for name in BAD:
        assert f"{name} did not load" in supervised.stderr
        assert f"pipeline {name} is not ready: " in by_triton.stderr
    assert f"pipeline {GOOD} " not in by_triton.stderr
    assert by_triton.stderr.count("\n") == 1
    good = run("health", GOOD, "--health-port", str(server.health_port))
    assert (good.returncode, good.stdout) == (0, f"ready: {GOOD}\n")


def test_doctor_finds_every_one_with_its_reason(server: Serving) -> None:
    said = doctor("--url", server.url)
    told = said.all_of("pipeline-not-ready")
    assert len(told) == len(BAD)
    for name in ("network", "raising"):
        (found,) = (each for each in told if f"the pipeline {name} at" in each)
        assert REASONS[name].removeprefix("model network_network did not load: ") in found
        assert f"`framewire load {name} --url {server.url}`" in found
    assert "framewire load NAME" in said.the("not-ready-for-probes")
    assert "shared memory" in said.report["looked_at"]
    damaged = " ".join(said.all_of("pipeline-damaged"))
    assert REASONS["config"] in damaged
    assert REASONS["file"] in damaged


def test_the_ready_line_tells_both(spoilt: Callable[..., Path]) -> None:
    server = Serving(spoilt("network", "raising"))
    try:
        line = server.wait_until_ready()
        assert f"ready: {GOOD}, {GOOD}_bls, " in line
        assert line.endswith("; not served: network, raising\n")
    finally:
        server.end()


def test_what_is_mended_is_loaded_beside_the_others(
    whole: Path, spoilt: Callable[..., Path]
) -> None:
    bad = ("raising", "file", "config")
    with serving(spoilt(*bad)) as server:
        pid = server.triton_pid()
        for name in bad:
            refused = load(server, name)
            assert refused.returncode == 1
            assert REASONS[name] in refused.stderr
            assert refused.stderr.count("\n") == 1
            # Neither in part, nor are others without service.
            assert {model.split("_")[0] for model in loaded(server)} == {GOOD}
            assert {model.split("_")[0] for model in processes(server)} == {GOOD}
        for name in bad:
            assert server.ready(f"/readyz/{name}")[0] == HTTPStatus.SERVICE_UNAVAILABLE
            mend(server.repository, whole, name)
            done = load(server, name)
            assert (done.returncode, done.stderr) == (0, "")
            wait_until(lambda name=name: server.ready(f"/readyz/{name}")[0] == HTTPStatus.OK)
            answers(server, name)
            answers(server, GOOD)
        assert server.ready()[0] == HTTPStatus.OK
        assert server.triton_pid() == pid


def test_a_restart_serves_what_was_served_and_waits_for_nothing_else(
    whole: Path, spoilt: Callable[..., Path]
) -> None:
    with serving(spoilt("network", "file")) as server:
        mend(server.repository, whole, "file")
        assert load(server, "file").returncode == 0
        wait_until(lambda: server.ready("/readyz/file")[0] == HTTPStatus.OK)
        before = lines(server)
        os.kill(server.triton_pid(), signal.SIGKILL)
        wait_until(lambda: len(lines(server)) >= len(before) + 2, server.error_text)
        died, healed = lines(server)[len(before) :]
        assert "restarting Triton" in died
        assert healed.startswith("framewire: healed after ")
        for name in (GOOD, "file"):
            assert server.ready(f"/readyz/{name}")[0] == HTTPStatus.OK
            answers(server, name)
        assert server.ready("/readyz/network")[0] == HTTPStatus.SERVICE_UNAVAILABLE
        # Nor is anything started again for it.
        pid = server.triton_pid()
        time.sleep(4)
        assert server.triton_pid() == pid


@pytest.mark.parametrize("name", ["network", "file"])
def test_a_server_that_polls_finds_what_is_mended(
    whole: Path, spoilt: Callable[..., Path], name: str
) -> None:
    with serving(spoilt(name), "--control", "poll", "--poll-seconds", "1") as server:
        answers(server, GOOD)
        told = lines(server)[0]
        assert REASONS[name] in told
        assert "Triton finds it within 1 s" in told
        assert server.ready()[1]["pipelines"] == {GOOD: True, name: False}
        mend(server.repository, whole, name)
        wait_until(lambda: server.ready()[0] == HTTPStatus.OK, server.error_text)
        answers(server, name)


@pytest.mark.parametrize("name", ["network", "file"])
def test_nor_does_it_need_a_supervisor_or_orders(spoilt: Callable[..., Path], name: str) -> None:
    with serving(spoilt(name), "--control", "none", "--no-supervise") as server:
        answers(server, GOOD)
        (told,) = lines(server)
        assert REASONS[name] in told
        assert told.endswith("start the server again")
        # What it was not given is examined all the same.
        said = doctor("--url", server.url)
        assert f"the pipeline {name} at" in said.the("pipeline-not-ready")
        assert "another-repository" not in said.names()


def test_where_nothing_can_be_served_it_ends_with_every_reason(
    spoilt: Callable[..., Path],
) -> None:
    repository = spoilt("network", "file")
    for model in repository.glob(f"{GOOD}*"):
        shutil.rmtree(model)
    server = Serving(repository)
    try:
        assert server.wait() == 1
        (line,) = lines(server)
        assert REASONS["network"] in line
        assert REASONS["file"] in line
    finally:
        server.end()


@pytest.mark.parametrize("name", BAD)
def test_who_serves_one_pipeline_is_told_at_once_why_it_does_not_load(
    spoilt: Callable[..., Path], name: str
) -> None:
    repository = spoilt(name)
    reason = re.escape(REASONS[name])
    with pytest.raises(BuilderError, match=reason), served(repository, name, Runtime.PYTHON):
        pass
    with pytest.raises(BuilderError, match=reason), measured_server(repository):
        pass
