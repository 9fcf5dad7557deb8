"""What the supervisor decides, without a server: limits, what it tells, and when late is hung."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from typing import Any

import pytest

from builder.errors import ServerDiedError, SettingsError
from builder.serving.local_triton import Work
from builder.serving.supervision import public_model_watch
from builder.serving.supervision.canary import Answer, Outcome, _outcome
from builder.serving.supervision.fault import Fault
from builder.serving.supervision.healing_limit import (
    HELD_S,
    LONGEST_PAUSE_S,
    WINDOW_S,
    HealingLimit,
)
from builder.serving.supervision.health_endpoint import MOST_AT_ONCE, health_endpoint
from builder.serving.supervision.public_model_watch import HUNG_S, LATE_S, PublicModelWatch
from builder.serving.supervision.readiness_board import ReadinessBoard
from tests.serving import free_ports


def test_what_holds_is_mended_at_once_and_what_does_not_ever_later() -> None:
    limit = HealingLimit(100)
    assert limit.next_pause_s(0.0, 0.0 - HELD_S, "") == 0
    pauses = [limit.next_pause_s(float(now), None, "") for now in range(1, 6)]
    assert pauses[0] == 0
    assert pauses[1:] == sorted(pauses[1:])
    assert 0 < pauses[1] < pauses[-1]
    assert limit.next_pause_s(100.0, 100.0 - HELD_S, "") == 0
    later = [limit.next_pause_s(float(now), None, "") for now in range(200, 220)]
    assert later[:5] == pauses
    assert later[-1] == LONGEST_PAUSE_S


def test_healings_are_counted_within_ten_minutes() -> None:
    limit = HealingLimit(2)
    limit.next_pause_s(0.0, None, "first")
    limit.next_pause_s(1.0, None, "second")
    with pytest.raises(ServerDiedError, match="third, and Triton was started again 2 times"):
        limit.next_pause_s(2.0, None, "third")
    assert limit.next_pause_s(WINDOW_S + 1.5, None, "later") >= 0


def test_no_healing_at_all_is_refused() -> None:
    with pytest.raises(SettingsError, match="--no-supervise"):
        HealingLimit(0)


@pytest.fixture
def board() -> ReadinessBoard:
    return ReadinessBoard(["a", "b"])


@pytest.fixture
def port(board: ReadinessBoard) -> Iterator[int]:
    number = free_ports(1)[0]
    with health_endpoint("127.0.0.1", number, board):
        yield number


def ask(port: int, path: str, method: str = "GET") -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with closing(connection):
        connection.request(method, path)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else {}


def test_probes_are_told_what_is_ready(port: int, board: ReadinessBoard) -> None:
    assert ask(port, "/livez") == (200, {"live": True})
    starting = {"a": False, "b": False}
    why = "Triton is starting"
    assert ask(port, "/readyz") == (503, {"ready": False, "pipelines": starting, "why": why})
    board.tell({"a": None, "b": "b_bls is not loaded"})
    told = {"ready": False, "pipelines": {"a": True, "b": False}, "why": "b: b_bls is not loaded"}
    assert ask(port, "/readyz") == (503, told)
    assert ask(port, "/readyz/a") == (200, {"ready": True, "pipelines": {"a": True}})
    assert ask(port, "/readyz/b")[0] == 503
    assert ask(port, "/readyz/c")[0] == 404
    assert ask(port, "/readyz", "HEAD") == (503, {})
    assert ask(port, "/elsewhere")[0] == 404
    board.tell({"a": None, "b": None})
    assert ask(port, "/readyz") == (200, {"ready": True, "pipelines": {"a": True, "b": True}})
    board.tell_all("Triton is stopping")
    assert ask(port, "/readyz/a")[0] == 503


def test_who_connects_and_says_nothing_keeps_no_probe_away(port: int) -> None:
    with ExitStack() as stack:
        for _ in range(MOST_AT_ONCE + 8):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        for _ in range(MOST_AT_ONCE):
            assert ask(port, "/livez")[0] == 200


class Silent:
    """A canary that is answered when the test says so."""

    sent: list[Silent]
    answer: Answer | None = None

    def __init__(self, *_: object, **__: object) -> None:
        Silent.sent.append(self)


class Processes:
    """Of the models; at work or not."""

    at_work = False

    def ticks(self) -> Mapping[int, int]:
        return {}

    def computing(self, *_: object) -> bool:
        return self.at_work


class Clock:
    """A model under watch, at times that the test chooses."""

    def __init__(self) -> None:
        self.watch = PublicModelWatch(
            None,  # type: ignore[arg-type]
            "a",
            frozenset({"a", "a_network"}),
            stream=False,
        )
        self.processes = Processes()
        self.work = {"a": Work(), "a_network": Work()}

    def look(self, now: float) -> Fault | None:
        return self.watch.look(now, self.work, self.processes, may_send=True)  # type: ignore[arg-type]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(Silent, "sent", [], raising=False)
    monkeypatch.setattr(public_model_watch, "Canary", Silent)
    started = Clock()
    started.look(0.0)
    Silent.sent[0].answer = Answer(Outcome.ANSWERED, 0.01)
    started.look(0.1)
    assert started.watch.why is None
    started.look(10.0)
    assert len(Silent.sent) == 2
    return started


def test_a_late_canary_is_a_fault_where_nothing_moves(clock: Clock) -> None:
    assert clock.look(10.0 + LATE_S - 0.1) is None
    assert "has not answered a canary" in str(clock.look(10.01 + LATE_S))


def test_a_late_canary_is_none_while_steps_answer_or_compute(clock: Clock) -> None:
    for second in range(1, int(HUNG_S)):
        clock.work["a_network"] = Work(answered=second)
        assert clock.look(10.0 + second) is None
    clock.processes.at_work = True
    assert clock.look(10.0 + HUNG_S - 0.1) is None
    # Whatever they do: what came before it must be done.
    assert "has answered nobody" in str(clock.look(10.0 + HUNG_S))


def test_who_answers_users_is_sent_none_and_is_not_late(clock: Clock) -> None:
    for second in range(1, 100):
        clock.work["a"] = Work(answered=second)
        assert clock.look(10.0 + second) is None
    assert len(Silent.sent) == 2


def test_after_a_gap_waiting_begins_anew(clock: Clock) -> None:
    clock.watch.forgive(100.0)
    assert clock.look(100.5) is None
    assert clock.look(100.01 + LATE_S) is not None


@pytest.mark.parametrize(
    ("outcome", "why", "faults"),
    [
        (Outcome.FAILED, "fails on its canary", 1),
        (Outcome.UNANSWERED, "fails on its canary", 1),
        (Outcome.NOT_LOADED, "is not loaded", 0),
        (Outcome.BUSY, None, 0),
    ],
)
def test_what_a_canary_says(clock: Clock, outcome: Outcome, why: str | None, faults: int) -> None:
    found = []
    for second in range(3):
        Silent.sent[-1].answer = Answer(outcome, 0.01)
        found.append(clock.look(11.0 + second))
        assert clock.watch.why == why
        clock.look(11.5 + second)
    assert sum(fault is not None for fault in found) == faults


@pytest.mark.parametrize("stream", [False, True])
def test_a_queue_that_stays_full_hides_no_model_that_hangs(clock: Clock, stream: bool) -> None:
    clock.watch._stream = stream
    found = []
    for half in range(2 * int(HUNG_S) + 10):
        Silent.sent[-1].answer = Answer(Outcome.BUSY, 0.01)
        found.append(clock.look(11.0 + half / 2))
    # The places of streams may all be taken by some that pause.
    assert any(found) is not stream
    assert stream or "has answered nobody" in str(next(filter(None, found)))
    assert not any(found[: 2 * int(HUNG_S) - 2])


def test_a_queue_that_is_full_while_others_are_answered_is_no_fault(clock: Clock) -> None:
    for half in range(4 * int(HUNG_S)):
        Silent.sent[-1].answer = Answer(Outcome.BUSY, 0.01)
        clock.work["a"] = Work(answered=half // 20)
        assert clock.look(11.0 + half / 2) is None


def test_what_triton_has_not_loaded_is_unready_at_once_and_ready_soon_after(clock: Clock) -> None:
    Silent.sent[-1].answer = Answer(Outcome.ANSWERED, 2.0)
    assert clock.look(12.0) is None
    loaded = clock.work.pop("a")
    assert clock.look(12.4) is None
    assert clock.watch.why == "is not loaded"
    for second in range(20, 60):
        assert clock.look(float(second)) is None
    assert len(Silent.sent) == 2
    clock.work["a"] = loaded
    clock.look(60.0)
    assert len(Silent.sent) == 3
    Silent.sent[-1].answer = Answer(Outcome.ANSWERED, 0.01)
    clock.look(60.1)
    assert clock.watch.why is None


def test_after_a_gap_a_full_queue_has_its_time_again(clock: Clock) -> None:
    Silent.sent[-1].answer = Answer(Outcome.BUSY, 0.01)
    clock.look(11.0)
    clock.watch.forgive(12.0 + HUNG_S)
    for second in range(4):
        assert clock.look(13.0 + HUNG_S + second) is None
        Silent.sent[-1].answer = Answer(Outcome.BUSY, 0.01)


def test_what_never_answered_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Silent, "sent", [], raising=False)
    monkeypatch.setattr(public_model_watch, "Canary", Silent)
    started = Clock()
    for second in range(1, 5):
        assert started.look(2.0 * second) is None
        Silent.sent[-1].answer = Answer(Outcome.FAILED, 0.01)
        assert started.look(2.0 * second + 1) is None
    assert started.watch.why == "fails on its canary"
    started.look(20.0)
    assert started.look(1000.0) is None


def test_a_slow_network_is_asked_less_often_and_given_more_time(clock: Clock) -> None:
    for number in range(5):
        Silent.sent[-1].answer = Answer(Outcome.ANSWERED, 2.0)
        clock.look(100.0 * number + 100)
        sent = len(Silent.sent)
        clock.look(100.0 * number + 115)
        # The quickest of the last ones counts: the first took no time at all.
        assert len(Silent.sent) - sent == (number < 4)
        clock.look(100.0 * number + 121)
    assert clock.look(521.0 + 15.9) is None
    assert "has not answered a canary" in str(clock.look(521.0 + 16.1))


@pytest.mark.parametrize(
    ("status", "text", "outcome"),
    [
        (200, b"", Outcome.ANSWERED),
        (400, b'{"error": "parameter conf must be from 0 to 1"}', Outcome.ANSWERED),
        (400, b'{"error": "Request for unknown model: x is not found"}', Outcome.NOT_LOADED),
        (404, b'{"error": "no"}', Outcome.NOT_LOADED),
        (503, b'{"error": "exceeds maximum queue size"}', Outcome.BUSY),
        (500, b'{"error": "Stub process x is not healthy."}', Outcome.FAILED),
        (500, b"[]", Outcome.FAILED),
        (301, b"", Outcome.FAILED),
    ],
)
def test_what_triton_answers_a_canary(status: int, text: bytes, outcome: Outcome) -> None:
    assert _outcome(status, text) is outcome
