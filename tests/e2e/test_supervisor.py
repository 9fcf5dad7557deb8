"""What breaks under ``framewire serve`` is noticed, told in a line and mended."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.cli import main
from tests.e2e.wire import infer
from tests.serving import Serving, running, serving, shared_memory_of
from tests.supervised import (
    SQUARE,
    assert_mended,
    lines,
    wait_until,
)

MODELS = ("preprocess", "network", "postprocess", "bls", "decode")


@pytest.fixture(scope="module")
def server(streaming_repository: Path) -> Iterator[Serving]:
    with serving(streaming_repository, "--max-restarts", "100") as running_server:
        yield running_server
    assert running_server.process.returncode == 0


@pytest.mark.parametrize("model", MODELS)
def test_the_killed_process_of_a_model_is_mended(server: Serving, model: str) -> None:
    before = len(lines(server))
    pid = server.model_pids(f"tiny_{model}")[0]
    os.kill(pid, signal.SIGKILL)
    assert assert_mended(server, before) == (
        f"framewire: tiny_{model}: its process {pid} was killed (SIGKILL): restarting Triton"
    )


@pytest.mark.parametrize("model", MODELS)
def test_the_stopped_process_of_a_model_is_mended(server: Serving, model: str) -> None:
    before = len(lines(server))
    pid = server.model_pids(f"tiny_{model}")[-1]
    os.kill(pid, signal.SIGSTOP)
    assert assert_mended(server, before) == (
        f"framewire: tiny_{model}: its process {pid} was stopped (SIGSTOP): restarting Triton"
    )
    assert not running(pid)


def test_a_triton_that_was_killed_is_mended(server: Serving) -> None:
    before, family = len(lines(server)), server.model_pids("tiny_network")
    os.kill(server.triton_pid(), signal.SIGKILL)
    assert assert_mended(server, before).startswith("framewire: Triton: was killed by SIGKILL")
    assert not any(map(running, family))


def test_a_triton_that_was_stopped_is_mended(server: Serving) -> None:
    before, pid = len(lines(server)), server.triton_pid()
    os.kill(pid, signal.SIGSTOP)
    assert f"Triton: its process {pid} was stopped (SIGSTOP)" in assert_mended(server, before)


def test_what_breaks_again_and_again_ends_it(streaming_repository: Path) -> None:
    server = Serving(streaming_repository, "--max-restarts", "1")
    try:
        server.wait_until_ready()
        os.kill(server.model_pids("tiny_bls")[0], signal.SIGKILL)
        wait_until(lambda: len(lines(server)) == 2, server.error_text)
        os.kill(server.model_pids("tiny_bls")[0], signal.SIGKILL)
        assert server.wait() == 1
        assert "Triton was started again 1 times within 10 min already" in lines(server)[-1]
        assert shared_memory_of(server.process.pid) == []
    finally:
        server.stop()


def test_a_signal_while_it_mends_ends_it_cleanly(streaming_repository: Path) -> None:
    server = Serving(streaming_repository)
    try:
        server.wait_until_ready()
        os.kill(server.triton_pid(), signal.SIGKILL)
        wait_until(lambda: bool(lines(server)), server.error_text)
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 0
        assert len(lines(server)) == 1
        assert shared_memory_of(server.process.pid) == []
    finally:
        server.stop()


def test_unsupervised_there_is_no_endpoint(streaming_repository: Path) -> None:
    with serving(streaming_repository, "--no-supervise") as server:
        with pytest.raises(ConnectionRefusedError):
            server.ready()
        assert infer(server.url, "tiny", [SQUARE])


def test_an_option_of_a_supervisor_that_is_not_there_is_refused(
    streaming_repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "serve",
        "--repository",
        str(streaming_repository),
        "--no-supervise",
        "--health-port",
        "1",
    ]
    assert main(command) == 1
    assert "--health-port does nothing with --no-supervise" in capsys.readouterr().err
