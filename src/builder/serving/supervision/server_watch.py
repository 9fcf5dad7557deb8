"""Watching one running Triton: its processes, its pipelines, and whether it answers at all."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from builder.serving.local_triton import Work
from builder.serving.server_options import ServerOptions
from builder.serving.supervision.clock_watch import ClockWatch
from builder.serving.supervision.fault import TRITON, Fault
from builder.serving.supervision.pipeline_watch import PipelinesWatch
from builder.serving.supervision.process_signs import TICKS_PER_S, threads_at_work
from builder.serving.supervision.process_watch import ProcessWatch
from builder.serving.supervision.readiness_board import ReadinessBoard
from builder.serving.triton_process import TritonServer

# A request that is with a process that died, or was stopped, fails after a second with INTERNAL,
# which few clients repeat. Where Triton is killed before, the connection breaks, and most do.
LOOK_S = 0.1
# A look at the processes costs a millisecond, Triton's counts are a request to it.
COUNTS_EVERY_S = 0.4
# While nobody is served yet, each look that comes later is one that healing takes longer.
COUNTS_EVERY_AT_START_S = LOOK_S / 2
COUNTS_S = 0.5
# Without an answer to a question that needs no model; longer while Triton computes.
SILENT_S = 2.0
SILENT_AT_WORK_S = 30.0
# Longer than this for one look, and it was us who were not running.
GAP_S = COUNTS_S + 1.0
# Over which it is seen whether anybody computes.
AT_WORK_LOOK_S = 5.0
# From all models loaded to all pipelines having answered: without anybody computing, and in all. A
# network may be compiled with its first request.
FIRST_ANSWERS_S = 60.0
FIRST_ANSWERS_MOST_S = 1800.0


class ServerWatch:
    """A Triton that has loaded its models.

    Args:
        server: to watch.
        options: it was started with.
        board: to tell whether its pipelines are ready.
        missing: names of those that it has not loaded.
    """

    def __init__(
        self,
        server: TritonServer,
        options: ServerOptions,
        board: ReadinessBoard,
        missing: Iterable[str] = (),
    ) -> None:
        self._server = server
        self._board = board
        self._processes = ProcessWatch(server.pid, server.local)
        self._pipelines = PipelinesWatch(
            server.local, options.repository, missing, metrics=server.metrics
        )
        self._work: Mapping[str, Work] = {}
        self._looked_at = self._answered_at = time.monotonic()
        self._counted_at = float("-inf")
        self._ticks: Mapping[int, int] = {}
        self._clock = ClockWatch(server.metrics)

    def until_all_answer(self) -> Fault | None:
        """Watch until every pipeline has answered; return what is wrong before, or None.

        A pipeline that does not answer in time is no fault: it never has.
        """
        begun = quiet_since = time.monotonic()
        ticks = self._processes.ticks()
        while (now := time.monotonic()) < min(
            quiet_since + FIRST_ANSWERS_S, begun + FIRST_ANSWERS_MOST_S
        ):
            if fault := self._look(COUNTS_EVERY_AT_START_S):
                return fault
            if not self.unready():
                return None
            quiet_s = now - quiet_since
            if quiet_s >= AT_WORK_LOOK_S and self._pipelines.beginning(
                self._processes, ticks, quiet_s
            ):
                quiet_since, ticks = now, self._processes.ticks()
            time.sleep(COUNTS_EVERY_AT_START_S)
        return None

    def until_fault(self) -> Fault:
        """Watch until something is wrong, and return it."""
        while True:
            if fault := self._look():
                return fault
            time.sleep(LOOK_S)

    def unready(self) -> dict[str, str]:
        """Return why pipelines that were loaded are not ready, by their names."""
        return {name: why for name, why in self._pipelines.loaded_states().items() if why}

    def ready(self) -> frozenset[str]:
        """Return the names of the pipelines that are ready."""
        return frozenset(name for name, why in self._pipelines.states().items() if not why)

    def _look(self, counts_every_s: float = COUNTS_EVERY_S) -> Fault | None:
        now = time.monotonic()
        if now - self._looked_at > GAP_S:
            self._processes.forgive(now)
            self._pipelines.forgive(now)
            self._answered_at = now
        self._looked_at = now
        if death := self._server.death():
            return Fault(TRITON, str(death).removeprefix(f"{TRITON} "))
        fault = self._processes.look(now, self._work)
        if self._clock.look(now):
            counts_every_s = LOOK_S
        # A Triton that was stopped would only keep us waiting.
        due = now - self._counted_at >= counts_every_s and not self._processes.triton_stopped
        if fault is None and due:
            fault = self._look_at_pipelines(now)
        if fault is None:
            self._board.tell(self._pipelines.states())
        return fault

    def _look_at_pipelines(self, now: float) -> Fault | None:
        self._counted_at = now
        work = self._server.local.work(COUNTS_S)
        if work is None:
            return self._silent(time.monotonic())
        self._work, self._answered_at = work, now
        self._ticks = self._processes.ticks()
        fault = self._clock.judge(now, self._pipelines.later_steps, work)
        return fault or self._pipelines.look(now, work, self._processes)

    def _silent(self, now: float) -> Fault | None:
        silent_s = now - self._answered_at
        spent = self._processes.ticks().get(self._server.pid, 0)
        spent_s = (spent - self._ticks.get(self._server.pid, 0)) / TICKS_PER_S
        at_work = spent_s > silent_s / 10 or threads_at_work(self._server.pid)
        if silent_s < (SILENT_AT_WORK_S if at_work else SILENT_S):
            return None
        return Fault(TRITON, f"it has not answered for {silent_s:.1f} s", self._server.pid)
