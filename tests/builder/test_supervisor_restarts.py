"""When a supervisor starts its Triton again, and when it gives up; without a Triton."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from builder.errors import ServerDiedError, ServerError, ServerKilledError
from builder.serving.loading import Loaded
from builder.serving.server_options import ServerOptions
from builder.serving.supervision import healing_limit, supervisor
from builder.serving.supervision.fault import Fault
from builder.serving.supervision.healing_limit import FIRST_PAUSE_S, HealingLimit
from builder.serving.supervision.readiness_board import ReadinessBoard


class Life:
    """What happens to one Triton: each is an exception, what is wrong, or nothing.

    Attributes:
        start: while its models load.
        first: until its pipelines have answered.
        later: after that.
        missing: its pipelines that do not answer.
        not_loaded: its pipelines that do not load.
    """

    def __init__(
        self,
        start: BaseException | None = None,
        first: Fault | None = None,
        later: Fault | None = None,
        missing: tuple[str, ...] = (),
        not_loaded: tuple[str, ...] = (),
    ) -> None:
        self.start, self.first, self.later, self.missing = start, first, later, missing
        self.not_loaded = not_loaded
        self.killed = self.drained = False
        self.version = "26.07"
        # What probes were told when it was killed.
        self.told: Any = None


class Ended(Exception):  # noqa: N818 - of the test
    """There is no further life."""


class Play:
    """A supervisor, and the lives of its Tritons one after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *lives: Life, most: int = 100) -> None:
        self.board = ReadinessBoard(["a", "b"])
        self.pauses: list[float] = []
        self._lives = iter(lives)
        self._lived: list[Life] = []
        play = self

        class Watch:
            def __init__(self, life: Life, *_: object) -> None:
                self.life = life

            def until_all_answer(self) -> Fault | None:
                play.board.tell({name: self.unready().get(name) for name in ("a", "b")})
                return self.life.first

            def until_fault(self) -> Fault:
                if self.life.later is None:
                    raise Ended
                return self.life.later

            def unready(self) -> dict[str, str]:
                return {name: f"{name} fails on its canary" for name in self.life.missing}

            def ready(self) -> frozenset[str]:
                return frozenset({"a", "b"}) - {*self.life.missing, *self.life.not_loaded}

        @contextmanager
        def running(*_: object) -> Iterator[Life]:
            life = next(self._lives, None)
            if life is None:
                raise Ended
            yield life

        monkeypatch.setattr(supervisor, "running_triton", running)
        monkeypatch.setattr(supervisor, "ServerWatch", Watch)
        monkeypatch.setattr(supervisor, "exposure_warning", lambda *_: None)
        monkeypatch.setattr(supervisor, "_wait_for_ports", lambda _: None)
        monkeypatch.setattr(supervisor.time, "sleep", self.pauses.append)

        def wait_until_loaded(life: Life) -> Loaded:
            if life.start is not None:
                raise life.start
            models = tuple(name for name in ("a", "b") if name not in life.not_loaded)
            return Loaded(models, dict.fromkeys(life.not_loaded, "no memory"))

        def kill(life: Life) -> None:
            life.killed, life.told = True, self.board.answer("a")

        def drain(life: Life) -> None:
            life.drained, life.told = True, self.board.answer("a")

        monkeypatch.setattr(Life, "wait_until_loaded", wait_until_loaded, raising=False)
        monkeypatch.setattr(Life, "kill", kill, raising=False)
        monkeypatch.setattr(Life, "drain", drain, raising=False)
        options = ServerOptions(Path("repository"))
        self._supervisor = supervisor._Supervisor(
            None,  # type: ignore[arg-type]
            options,
            self.board,
            HealingLimit(most),
        )

    def run(self) -> None:
        self._supervisor.run()


FAULT = Fault("a_network", "its process 7 was killed (SIGSEGV)", 7)
WHY = f"a: {supervisor.RESTARTING}"
NOT_READY = (False, {"ready": False, "pipelines": {"a": False}, "why": WHY})


def test_what_dies_of_each_first_canary_ends_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    play = Play(monkeypatch, *[Life(first=FAULT) for _ in range(50)], most=5)
    with pytest.raises(ServerDiedError, match=r"SIGSEGV.*started again 5 times"):
        play.run()
    assert sum(play.pauses) > 1
    assert capsys.readouterr().out == ""


def test_a_fault_is_mended_and_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hurt = Life(later=FAULT)
    with pytest.raises(Ended):
        Play(monkeypatch, hurt, Life()).run()
    assert hurt.killed
    assert hurt.told == NOT_READY
    out, err = capsys.readouterr()
    assert out.count("ready: ") == 1
    assert f"{FAULT}: restarting Triton\n" in err
    assert "healed after" in err


def test_a_restart_after_which_a_pipeline_is_missing_is_done_again_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worse = Life(missing=("b",))
    with pytest.raises(Ended):
        Play(monkeypatch, Life(later=FAULT), worse, Life()).run()
    # What answers meanwhile is told to be away before it is.
    assert worse.killed
    assert worse.told == NOT_READY
    assert capsys.readouterr().err.count("healed after") == 1


def test_a_pipeline_that_never_answered_is_no_reason_to_start_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Ended):
        Play(monkeypatch, Life(missing=("b",))).run()
    out, err = capsys.readouterr()
    assert "ready: " in out
    assert err == "framewire: warning: b fails on its canary\n"


def test_a_pipeline_that_does_not_load_is_told_once_and_starts_nothing_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lives = [Life(later=FAULT, not_loaded=("b",)), Life(not_loaded=("b",))]
    with pytest.raises(Ended):
        Play(monkeypatch, *lives).run()
    out, err = capsys.readouterr()
    assert out.startswith("ready: a on gRPC ")
    assert out.endswith("; not served: b\n")
    assert err.count("b is not served: no memory; ") == 1
    assert err.count("restarting Triton") == err.count("healed after") == 1


def test_what_does_not_load_any_more_is_tried_twice_again_and_then_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worse = [Life(not_loaded=("b",)) for _ in range(3)]
    # What goes wrong next is the fault's alone.
    lives = [Life(later=FAULT), *worse[:2], Life(later=FAULT, not_loaded=("b",)), worse[2]]
    with pytest.raises(Ended):
        Play(monkeypatch, *lives).run()
    assert [life.killed for life in lives] == [True, True, True, True, False]
    err = capsys.readouterr().err
    assert err.count("framewire: no memory: restarting Triton") == 2
    assert err.count("b is not served: no memory; ") == 1
    assert err.count("healed after") == 2


def test_what_does_not_load_any_more_never_ends_a_server_that_has_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lives = [Life(later=FAULT), Life(not_loaded=("b",))]
    with pytest.raises(Ended):
        Play(monkeypatch, *lives, most=1).run()
    assert not lives[1].killed


@pytest.mark.parametrize("error", [ServerError("no room"), ServerDiedError("died")])
def test_a_restart_that_fails_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: ServerError
) -> None:
    with pytest.raises(Ended):
        Play(monkeypatch, Life(later=FAULT), Life(start=error), Life()).run()
    err = capsys.readouterr().err
    assert f"{error} (while it started): restarting Triton" in err
    assert err.count("healed after") == 1


def test_a_start_that_fails_does_not_count_as_one_that_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(healing_limit, "HELD_S", 0.0)
    fails = [Life(start=ServerDiedError("died")) for _ in range(2)]
    play = Play(monkeypatch, Life(later=FAULT), *fails, Life())
    with pytest.raises(Ended):
        play.run()
    assert play.pauses == [0, 0, FIRST_PAUSE_S]


def test_a_first_start_that_fails_ends_it_but_for_a_signal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ServerDiedError, match="did not load"):
        Play(monkeypatch, Life(start=ServerDiedError("did not load")), Life()).run()
    killed = [Life(start=ServerKilledError("SIGABRT")) for _ in range(3)]
    with pytest.raises(Ended):
        Play(monkeypatch, *killed[:2], Life()).run()
    with pytest.raises(ServerKilledError):
        Play(monkeypatch, *killed, Life()).run()


def test_a_signal_drains_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life(start=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        Play(monkeypatch, life).run()
    assert life.drained
    assert life.told[1]["why"] == "a: Triton is stopping"


def test_what_cannot_be_told_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        with pytest.raises(Ended):
            Play(monkeypatch, Life(later=FAULT), Life()).run()
        monkeypatch.undo()
        with pytest.raises(OSError, match="No space"):
            full.flush()
        full.buffer.raw.close()
