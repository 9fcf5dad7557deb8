"""When a model is late, hung, not loaded or forgotten, at times that the test chooses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from builder.serving.local_triton import Work
from builder.serving.supervision import public_model_watch
from builder.serving.supervision.canary import Answer, Outcome, _outcome
from builder.serving.supervision.fault import Fault
from builder.serving.supervision.public_model_watch import (
    CANARY_AT_LEAST_EVERY_S,
    COMPILES_S,
    FAILING_EVERY_S,
    HUNG_S,
    LATE_S,
    PublicModel,
    PublicModelWatch,
)


class Silent:
    """A canary that is answered when the test says so."""

    sent: list[Silent]
    answer: Answer | None = None

    def __init__(self, *_: object, **__: object) -> None:
        Silent.sent.append(self)


class Processes:
    """Of the models; at work or not, and waiting for Triton or not, where they have processes."""

    at_work = False
    idle_models: Mapping[str, bool]

    def __init__(self) -> None:
        self.idle_models = {}

    def idle(self, model: str) -> bool | None:
        return self.idle_models.get(model)

    def ticks(self) -> Mapping[int, int]:
        return {}

    def computing(self, *_: object) -> bool:
        return self.at_work


class Metrics:
    """Of Triton; where nothing is known of it, it does not tell."""

    told: Mapping[str, int] | None = None

    def pending(self) -> Mapping[str, int] | None:
        return self.told


class Clock:
    """A model under watch, at times that the test chooses."""

    def __init__(self) -> None:
        self.watch = PublicModelWatch(
            None,  # type: ignore[arg-type]
            PublicModel("a", ("a", "a_network")),
            metrics := Metrics(),  # type: ignore[arg-type]
        )
        self.metrics = metrics
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
    assert str(clock.look(10.0 + HUNG_S)) == "a: it has ended nothing for 30 s"


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
        (Outcome.NOT_SENT, None, 0),
    ],
)
def test_what_a_canary_says(clock: Clock, outcome: Outcome, why: str | None, faults: int) -> None:
    found = []
    for second in range(3):
        Silent.sent[-1].answer = Answer(outcome, 0.01)
        found.append(clock.look(11.0 + 2 * second))
        assert clock.watch.why == why
        clock.look(12.5 + 2 * second)
    assert sum(fault is not None for fault in found) == faults


def test_a_canary_that_gets_no_thread_says_nothing_about_the_model() -> None:
    program = """
import resource
from builder.serving.supervision.canary import Canary

now_bytes = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now_bytes + 2**20,) * 2)
print(Canary(None, "a", stream=False).answer)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == (f"{Answer(Outcome.NOT_SENT, 0.0)}\n", "")


@pytest.mark.parametrize("stream", [False, True])
def test_a_queue_that_stays_full_hides_no_model_that_hangs(clock: Clock, stream: bool) -> None:
    clock.watch.public = replace(clock.watch.public, stream=stream)
    found = []
    for half in range(2 * int(HUNG_S) + 10):
        Silent.sent[-1].answer = Answer(Outcome.BUSY, 0.01)
        found.append(clock.look(11.0 + half / 2))
    # The places of streams may all be taken by some that pause.
    assert any(found) is not stream
    assert stream or "has ended nothing" in str(next(filter(None, found)))
    assert not any(found[: 2 * int(HUNG_S) - 2])


def test_a_queue_that_is_full_while_others_are_answered_is_no_fault(clock: Clock) -> None:
    for half in range(4 * int(HUNG_S)):
        Silent.sent[-1].answer = Answer(Outcome.BUSY, 0.01)
        clock.work["a"] = Work(answered=half // 20)
        assert clock.look(11.0 + half / 2) is None


def test_work_that_nobody_waits_for_is_no_fault_however_long_nobody_is_answered(
    clock: Clock,
) -> None:
    # The canary waits behind requests that their clients gave up: steps run or drop them.
    for second in range(1, 4 * int(HUNG_S)):
        clock.work["a"] = Work(failed=second, executions=second // 9)
        clock.work["a_network"] = Work(failed=second // 9)
        assert clock.look(10.0 + second) is None
    # It is one where a step stands still, whatever the others do.
    found = []
    for second in range(4 * int(HUNG_S), 6 * int(HUNG_S)):
        clock.work["a"] = Work(failed=second, executions=second)
        found.append(clock.look(10.0 + second))
    assert str(next(filter(None, found))) == "a_network: it has ended nothing for 30 s"


def test_a_queue_that_is_full_of_what_was_given_up_is_no_fault(clock: Clock) -> None:
    for half in range(8 * int(HUNG_S)):
        Silent.sent[-1].answer = Answer(Outcome.BUSY, 0.01)
        clock.work["a"] = Work(failed=1000 * half, executions=half // 10)
        assert clock.look(11.0 + half / 2) is None


@pytest.mark.parametrize(
    ("changes", "hung_s"),
    [
        ({}, HUNG_S),
        # Frame by frame a batch takes 32 s, and another may be before it.
        ({"largest_batch": 16}, 64.0),
        ({"largest_batch": 16, "compiles": True}, COMPILES_S),
    ],
)
def test_how_long_is_too_long_follows_what_a_batch_takes(
    clock: Clock, changes: dict[str, Any], hung_s: float
) -> None:
    clock.watch.public = replace(clock.watch.public, **changes)
    clock.watch._quick_s.clear()
    Silent.sent[-1].answer = Answer(Outcome.ANSWERED, 2.0)
    clock.look(12.0)
    clock.look(40.0)
    clock.processes.at_work = True
    assert clock.look(40.0 + hung_s - 0.1) is None
    assert "has ended nothing" in str(clock.look(40.0 + hung_s))


def test_a_network_inside_triton_that_nobody_sees_compute_may_have_two_batches_before_it(
    clock: Clock,
) -> None:
    inside = replace(clock.watch.public, network_in_triton=True, largest_batch=16)
    clock.watch.public = inside
    clock.watch._quick_s.clear()
    Silent.sent[-1].answer = Answer(Outcome.ANSWERED, 0.25)
    clock.look(12.0)
    clock.look(40.0)
    assert clock.look(40.0 + 7.9) is None
    assert "has not answered a canary" in str(clock.look(40.0 + 8.1))


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


def test_one_bad_moment_is_not_three_failures(clock: Clock) -> None:
    Silent.sent[-1].answer = Answer(Outcome.FAILED, 2.0)
    sent = len(Silent.sent)
    for tenth in range(40):
        clock.look(10.1 + tenth / 10)
        Silent.sent[-1].answer = Answer(Outcome.FAILED, 0.01)
    assert len(Silent.sent) - sent == int(4 / FAILING_EVERY_S)


def test_a_slow_network_is_asked_less_often_and_given_more_time(clock: Clock) -> None:
    for number, took_s in enumerate([0.01, 2.0, 2.0, 2.0, 2.0, 2.0]):
        Silent.sent[-1].answer = Answer(Outcome.ANSWERED, took_s)
        clock.look(100.0 * number + 100)
        sent = len(Silent.sent)
        clock.look(100.0 * number + 115)
        # The quickest of the last ones counts: one of them took no time at all.
        assert len(Silent.sent) - sent == (number < 5)
        clock.look(100.0 * number + 121)
    assert clock.look(621.0 + 15.9) is None
    assert "has not answered a canary" in str(clock.look(621.0 + 16.1))


def test_a_first_canary_that_waited_for_a_compilation_is_no_measure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Silent, "sent", [], raising=False)
    monkeypatch.setattr(public_model_watch, "Canary", Silent)
    started = Clock()
    started.look(0.0)
    Silent.sent[-1].answer = Answer(Outcome.ANSWERED, 240.0)
    started.look(240.0)
    assert started.watch.why is None
    # Until the next one nothing better is known, so that one comes soon.
    started.look(241.0)
    assert len(Silent.sent) == 2
    assert started.look(400.0) is None
    Silent.sent[-1].answer = Answer(Outcome.ANSWERED, 0.01)
    started.look(400.5)
    started.look(402.0)
    assert len(Silent.sent) == 3
    assert started.look(402.1 + LATE_S) is not None


def test_however_slow_it_is_it_is_asked_every_minute(clock: Clock) -> None:
    clock.watch._quick_s.clear()
    Silent.sent[-1].answer = Answer(Outcome.ANSWERED, 20.0)
    clock.look(100.0)
    clock.look(100.0 + CANARY_AT_LEAST_EVERY_S + 1)
    assert len(Silent.sent) == 3


@pytest.mark.parametrize(
    ("idle", "pending", "hangs"),
    [
        ({"a_network": True}, None, False),
        ({"a_network": False}, None, True),
        ({}, {"a_network": 0}, False),
        ({}, {"a_network": 3}, True),
        ({}, None, True),
        ({}, {}, True),
    ],
)
def test_a_step_that_gets_nothing_to_do_stands_still_without_a_fault(
    clock: Clock, idle: dict[str, bool], pending: dict[str, int] | None, hangs: bool
) -> None:
    clock.processes.idle_models, clock.metrics.told = idle, pending
    clock.processes.at_work = True
    found = []
    for second in range(1, 3 * int(HUNG_S)):
        # The first step refuses, or drops, all that comes to it.
        clock.work["a"] = Work(failed=second, executions=second)
        found.append(clock.look(10.0 + second))
    assert any(found) is hangs


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
