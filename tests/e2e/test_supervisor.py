"""What breaks under ``framewire serve`` is noticed, told in a line and mended."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from builder.pipelines.repository import build_pipeline
from builder.serving.supervision.healing_limit import HELD_S
from builder.settings import BuildSettings
from tests import images
from tests.e2e.wire import infer
from tests.serving import Serving, running, serving, shared_memory_of
from tests.tiny_detector import coloured_square, save_tiny_detector

SQUARE = images.encoded(coloured_square("red"))
MODELS = ("preprocess", "network", "postprocess", "bls", "decode")
# Many times what it takes: how long is for the drill to measure.
PATIENCE_S = 60


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pipeline that takes streams, too."""
    folder = tmp_path_factory.mktemp("supervised")
    build_pipeline(
        save_tiny_detector(folder / "tiny.onnx"),
        folder / "repository",
        BuildSettings("tiny", conf=0.5, stream=True),
    )
    return folder / "repository"


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Serving]:
    with serving(repository, "--max-restarts", "100") as running_server:
        yield running_server
    assert running_server.process.returncode == 0


def wait_until(condition: Callable[[], bool], told: Callable[[], object] = str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.02)


def is_ready(server: Serving) -> bool:
    return server.ready()[0] == HTTPStatus.OK


def lines(server: Serving) -> list[str]:
    """What the supervisor itself has said."""
    return [line.strip() for line in list(server.errors) if line.startswith("framewire: ")]


def assert_mended(server: Serving, before: int) -> str:
    """The line on what happened; it was unready and is ready, and left nothing."""
    wait_until(lambda: not is_ready(server), server.error_text)
    wait_until(lambda: is_ready(server), server.error_text)
    wait_until(lambda: len(lines(server)) >= before + 2, server.error_text)
    what, healed = lines(server)[before:]
    assert healed.startswith("framewire: healed after "), healed
    for model in ("tiny", "tiny_bls"):
        assert infer(server.url, model, [SQUARE])["num_dets"].shape == (1, 1)
    # Else it would not count as mended, and wait before it mends again.
    time.sleep(HELD_S)
    regions = {name.split("_")[2] for name in shared_memory_of(server.process.pid)}
    assert len(regions) == 1
    return what


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


HANG = """
import os, threading, time


def _hang(self, requests, execute=TritonPythonModel.execute):
    try:
        os.unlink({file!r})
    except FileNotFoundError:
        return execute(self, requests)
    {how}


TritonPythonModel.execute = _hang
"""
LOCKED = "lock = threading.Lock(); lock.acquire(); lock.acquire()"
WAITING = "\n    while True:\n        time.sleep(0.01)"


@pytest.mark.parametrize(
    ("model", "how", "told"),
    [
        # Of two processes: the other one goes on answering.
        ("preprocess", LOCKED, "tiny_preprocess: its process"),
        ("bls", LOCKED, "tiny_bls: its process"),
        ("postprocess", LOCKED, "tiny_postprocess: its process"),
        # Its process does something, if not what it should; the ensemble is what does not answer.
        ("postprocess", WAITING, "tiny: it has not answered a canary for"),
    ],
)
def test_a_model_that_hangs_is_mended(
    repository: Path, tmp_path: Path, model: str, how: str, told: str
) -> None:
    copy = shutil.copytree(repository, tmp_path / "repository")
    file = tmp_path / "hang"
    with (copy / f"tiny_{model}" / "1" / "model.py").open("a") as code:
        code.write(HANG.format(file=str(file), how=how))
    with serving(copy) as server:
        wait_until(lambda: is_ready(server))
        file.touch()
        assert told in assert_mended(server, 0)
        assert not file.exists()


def test_what_breaks_again_and_again_ends_it(repository: Path) -> None:
    server = Serving(repository, "--max-restarts", "1")
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


def test_a_signal_while_it_mends_ends_it_cleanly(repository: Path) -> None:
    server = Serving(repository)
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
