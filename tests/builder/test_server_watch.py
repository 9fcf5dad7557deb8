"""How often a server is looked at, and what a pause of our own changes: times a test chooses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from builder.serving.local_triton import Work
from builder.serving.server_options import ServerOptions
from builder.serving.supervision import server_watch
from builder.serving.supervision.clock_watch import SUSPECT_S
from builder.serving.supervision.readiness_board import ReadinessBoard
from builder.serving.supervision.server_watch import (
    COUNTS_EVERY_S,
    FIRST_ANSWERS_MOST_S,
    FIRST_ANSWERS_S,
    GAP_S,
    LOOK_S,
    ServerWatch,
)


class Watched:
    """A server whose processes are well and whose one pipeline answers the second look."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, repository: Path) -> None:
        self.now = 100.0
        self.asked = 0
        self.work = {"a": Work(), "a_network": Work()}
        # Of the time of day, against the monotonic clock.
        self.offset = 1e9
        self.compiles_until = self.answers_from = float("-inf")
        self.forgiven: list[float] = []
        monkeypatch.setattr(server_watch, "ProcessWatch", lambda *_: Processes(self))
        monkeypatch.setattr(server_watch, "PipelinesWatch", lambda *_, **__: Pipelines(self))
        monkeypatch.setattr(server_watch.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(server_watch.time, "time", lambda: self.now + self.offset)
        monkeypatch.setattr(server_watch.time, "sleep", self.sleep)
        # Failures that nobody cancelled, as the metrics tell them.
        self.failures: dict[str, int] | None = None
        triton = SimpleNamespace(
            pid=1,
            death=lambda: None,
            local=SimpleNamespace(work=lambda _: self.work),
            metrics=SimpleNamespace(failures=lambda: self.failures),
        )
        options, board = ServerOptions(repository), ReadinessBoard(["a"])
        self.watch = ServerWatch(triton, options, board)  # type: ignore[arg-type]

    def sleep(self, s: float) -> None:
        self.now += s


class Processes:
    triton_stopped = False

    def __init__(self, watched: Watched) -> None:
        self._watched = watched

    def look(self, *_: object) -> None:
        pass

    def forgive(self, now: float) -> None:
        self._watched.forgiven.append(now)

    def ticks(self) -> Mapping[int, int]:
        return {}


class Pipelines(Processes):
    later_steps = frozenset({"a_network"})

    def look(self, *_: object) -> None:
        self._watched.asked += 1

    def beginning(self, *_: object) -> bool:
        return self._watched.now < self._watched.compiles_until

    def states(self) -> dict[str, str | None]:
        return self.loaded_states()

    def loaded_states(self) -> dict[str, str | None]:
        # A canary is sent at the first look.
        begun = self._watched.asked > 1 and self._watched.now >= self._watched.answers_from
        return {"a": None if begun else "a is starting"}


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Watched:
    return Watched(monkeypatch, tmp_path)


def test_what_a_pause_of_our_own_did_to_times_is_forgiven(watched: Watched) -> None:
    watched.sleep(GAP_S - 0.1)
    assert watched.watch._look() is None
    assert watched.forgiven == []
    watched.sleep(GAP_S + 0.1)
    assert watched.watch._look() is None
    assert watched.forgiven == [watched.now, watched.now]


def test_after_a_restart_pipelines_are_asked_more_often_than_later(watched: Watched) -> None:
    """Healing is over when they have answered, and each look that is waited for makes it longer."""
    begun = watched.now
    assert watched.watch.until_all_answer() is None
    assert watched.now - begun < COUNTS_EVERY_S
    asked, since = watched.asked, watched.now
    while watched.now < since + 10:
        assert watched.watch._look() is None
        watched.sleep(LOOK_S)
    assert watched.asked - asked <= 10 / COUNTS_EVERY_S


def test_a_network_that_is_compiled_with_its_first_request_is_waited_for(watched: Watched) -> None:
    begun = watched.now
    watched.compiles_until = watched.answers_from = begun + 600
    assert watched.watch.until_all_answer() is None
    assert watched.watch.unready() == {}
    assert watched.now >= begun + 600


def test_what_computes_nothing_is_waited_for_no_longer(watched: Watched) -> None:
    begun = watched.now
    watched.compiles_until = begun + 100
    watched.answers_from = float("inf")
    assert watched.watch.until_all_answer() is None
    assert watched.watch.unready() == {"a": "a is starting"}
    assert 100 + FIRST_ANSWERS_S - 10 <= watched.now - begun <= 100 + FIRST_ANSWERS_S + 10
    # Nor does it go on for ever where something computes.
    begun = watched.now
    watched.compiles_until = float("inf")
    assert watched.watch.until_all_answer() is None
    assert watched.now - begun <= FIRST_ANSWERS_MOST_S + 10


def looks(watched: Watched, seconds: float) -> list[str]:
    """What is found wrong in so much time."""
    found, until = [], watched.now + seconds
    while watched.now < until:
        fault = watched.watch._look()
        found += [str(fault)] if fault else []
        watched.sleep(LOOK_S)
    return found


@pytest.mark.parametrize("set_by_s", [86_400, -86_400, 2.0])
def test_a_model_that_fails_requests_when_the_clock_is_set_is_not_believed(
    watched: Watched, set_by_s: float
) -> None:
    assert looks(watched, 2) == []
    watched.offset += set_by_s
    assert looks(watched, 0.5) == []
    watched.work["a_network"] = Work(answered=100, failed=1)
    (found,) = looks(watched, 2)
    assert found.startswith(
        f"a_network: it failed requests when the clock was set by {set_by_s:+.1f}"
    )


def test_what_is_cancelled_when_the_clock_is_set_is_no_fault(watched: Watched) -> None:
    watched.failures = {"a_network": 0}
    assert looks(watched, 2) == []
    watched.offset += 1.0
    for second in range(2):
        watched.work["a_network"] = Work(failed=100 * second + 100)
        assert looks(watched, 1) == []
    watched.offset += 1.0
    watched.failures = {"a_network": 1}
    watched.work["a_network"] = Work(failed=300)
    assert [each.partition(":")[0] for each in looks(watched, 1)][:1] == ["a_network"]


def test_a_clock_that_is_set_is_no_fault_and_failures_without_it_are_none(watched: Watched) -> None:
    watched.offset += 86_400
    watched.work["a"] = Work(answered=10, failed=10)  # full queues refuse requests
    assert looks(watched, 2 * SUSPECT_S) == []
    watched.work["a_network"] = Work(answered=10, failed=1)
    assert looks(watched, 2) == []
    # One that is steered goes wrong slowly.
    for second in range(20):
        watched.offset += 5e-4
        watched.work["a_network"] = Work(failed=second)
        assert looks(watched, 1) == []
