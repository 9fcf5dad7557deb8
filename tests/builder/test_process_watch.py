"""Which deaths of models' processes are told, whatever else is wrong; without a Triton."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from builder.serving import model_processes
from builder.serving.model_processes import ModelProcesses, Served
from builder.serving.supervision import process_watch
from builder.serving.supervision.process_watch import STOPPED_S, ProcessWatch
from builder.serving.version_states import VersionStates

A = Served("a_bls", 1)
READY: VersionStates = {"a_bls": {1: "READY"}}


class Running:
    """What Triton's children are, and what it answers."""

    def __init__(self, pids: dict[int, Served]) -> None:
        self.pids = pids
        self.loaded: VersionStates = READY
        self.wanted: int | None = 2
        self.asked = 0

    def stubs(self, _: int) -> dict[int, Served]:
        return dict(self.pids)

    def model_states(self, _timeout_s: float = 0) -> VersionStates:
        self.asked += 1
        return self.loaded

    def model_instances(self, _model: str, _version: int, timeout_s: float = 0) -> int | None:
        assert timeout_s < 1
        return self.wanted


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Running:
    found = Running({11: A, 12: A})
    monkeypatch.setattr(model_processes, "stubs", found.stubs)
    monkeypatch.setattr(process_watch, "stubs", found.stubs)
    return found


def died(processes: ModelProcesses, running: Running) -> Served | None:
    return processes.died(running.model_states, running.model_instances)


def test_a_death_is_told_when_seen_twice(running: Running) -> None:
    processes = ModelProcesses(1)
    assert died(processes, running) is None
    del running.pids[11]
    assert died(processes, running) is None
    assert processes.suspects
    assert died(processes, running) == A


@pytest.mark.parametrize("silent", ["states", "instances"])
def test_a_death_is_remembered_while_triton_does_not_answer(running: Running, silent: str) -> None:
    processes = ModelProcesses(1)
    del running.pids[11]
    if silent == "states":
        running.loaded = {}
    else:
        running.wanted = None
    for _ in range(3):
        assert died(processes, running) is None
        assert processes.suspects
    running.loaded, running.wanted = READY, 2
    assert died(processes, running) == A


def test_a_process_that_triton_ended_itself_is_no_death(running: Running) -> None:
    processes = ModelProcesses(1)
    del running.pids[11]
    running.wanted = 1
    assert [died(processes, running) for _ in range(2)] == [None, None]
    assert not processes.suspects
    running.pids.clear()
    running.loaded = {"a_bls": {1: "UNAVAILABLE"}}
    assert [died(processes, running) for _ in range(2)] == [None, None]
    assert not processes.suspects


@pytest.fixture
def triton() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def test_a_stopped_triton_is_told_though_it_cannot_be_asked_about_a_death(
    running: Running, triton: subprocess.Popen[bytes]
) -> None:
    with subprocess.Popen(["sleep", "600"]) as model:
        running.pids = {model.pid: A}
        watch = ProcessWatch(triton.pid, running)  # type: ignore[arg-type]
        assert watch.look(0.0, {}) is None
        os.kill(triton.pid, signal.SIGSTOP)
        model.kill()
    running.pids = {}
    while process_watch.signs(triton.pid).state != "T":  # type: ignore[union-attr]
        time.sleep(0.01)
    assert watch.look(1.0, {}) is None
    assert running.asked == 0
    assert "was stopped (SIGSTOP)" in str(watch.look(1.0 + STOPPED_S, {}))


def test_what_died_since_the_last_look_can_be_asked_whether_it_computes(
    running: Running, triton: subprocess.Popen[bytes]
) -> None:
    with subprocess.Popen(["sleep", "600"]) as model:
        running.pids = {model.pid: A}
        watch = ProcessWatch(triton.pid, running)  # type: ignore[arg-type]
        watch.look(0.0, {})
        ticks = watch.ticks()
        assert model.pid in ticks
        model.kill()
    watch.look(0.1, {})
    assert not watch.computing(frozenset({"a_bls"}), ticks, 1.0)


def test_a_network_without_a_process_of_its_own_computes_in_triton(running: Running) -> None:
    program = "while True: pass"
    with (
        subprocess.Popen([sys.executable, "-c", program]) as triton,
        subprocess.Popen(["sleep", "600"]) as model,
    ):
        running.pids = {model.pid: A}
        watch = ProcessWatch(triton.pid, running)  # type: ignore[arg-type]
        watch.look(0.0, {})
        ticks = watch.ticks()
        while watch.ticks()[triton.pid] < ticks[triton.pid] + process_watch.TICKS_PER_S // 5:
            time.sleep(0.05)
            watch.look(0.1, {})
        assert watch.computing(frozenset({"a_bls", "a_network"}), ticks, 1.0)
        # What has processes computes in those.
        assert not watch.computing(frozenset({"a_bls"}), ticks, 1.0)
        triton.kill()
        model.kill()
