"""Whether a process of a Python model died, was stopped, or is stuck.

That a model has two processes hides what is wrong with one of them: the other one goes on answering
the canaries. So each process is looked at by itself, and at what its main thread does, which is
what Triton's Python backend runs a model in:

- It waits for Triton, in memory that the two share: for the next requests, or for the answer to a
  call of the network (BLS). Then it is idle, or it is not what is wrong.
- It computes, or other threads of its process do, or want to: then it is busy. Whether it ever ends
  is for the canaries to find out.
- It waits, and not for Triton, and nothing else in its process computes, for longer than any model
  of ours has a reason to: then it is stuck, in a lock say. This does not depend on any load: under
  one, its main thread or those that it waits for compute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from builder.serving.local_triton import LocalTriton, Work
from builder.serving.model_processes import ModelProcesses, Served, stubs
from builder.serving.supervision.fault import TRITON, Fault
from builder.serving.supervision.process_signs import (
    TICKS_PER_S,
    Signs,
    how_it_ended,
    in_shared_memory,
    signs,
    threads_at_work,
    wait_address,
)

# For new processes; what became of known ones is seen at every look.
SEARCH_S = 2.0
# For Triton's answer to a question about a process that is gone; it is asked again.
ANSWER_S = 0.5
# A debugger or a profiler stops a process for a moment, too.
STOPPED_S = 0.5
STUCK_S = 1.0


@dataclass
class _Process:
    """What is remembered of a process.

    Attributes:
        signs: at the last look.
        changed_at: when it last did anything at all, on the monotonic clock.
        stopped_at: when it was found stopped; None while it is not.
        queues: addresses at which it waits for Triton.
        address: at which its main thread waits, and not for Triton.
    """

    signs: Signs
    changed_at: float
    stopped_at: float | None = None
    queues: set[int] = field(default_factory=set)
    address: int | None = None


class ProcessWatch:
    """The processes of a running Triton: its own, and those of Python models.

    Args:
        triton_pid: of ``tritonserver``.
        triton: to ask what is loaded.
    """

    def __init__(self, triton_pid: int, triton: LocalTriton) -> None:
        self._triton_pid = triton_pid
        self._triton = triton
        self._models = ModelProcesses(triton_pid)
        self._seen: dict[int, _Process] = {}
        self._served = stubs(triton_pid)
        self._gone: dict[int, Served] = {}
        self._searched_at = float("-inf")

    def look(self, now: float, work: Mapping[str, Work]) -> Fault | None:
        """Return what is wrong with a process, or None.

        Args:
            now: on the monotonic clock.
            work: of the models that are loaded, as Triton last told it.
        """
        pids = (self._triton_pid, *self._served)
        self._seen = {pid: seen for pid in pids if (seen := self._seen_now(pid, now))}
        for pid, seen in self._seen.items():
            if seen.stopped_at is not None and now - seen.stopped_at >= STOPPED_S:
                return Fault(self._name(pid), f"its process {pid} was stopped (SIGSTOP)", pid)
        # A Triton that was stopped answers no question about what died.
        return None if self.triton_stopped else self._died(now) or self._stuck(now, work)

    @property
    def triton_stopped(self) -> bool:
        """Whether Triton itself was found stopped at the last look."""
        triton = self._seen.get(self._triton_pid)
        return triton is not None and triton.stopped_at is not None

    def forgive(self, now: float) -> None:
        """Begin all waiting anew: we were not running ourselves."""
        for seen in self._seen.values():
            seen.changed_at = now
            seen.stopped_at = None

    def computing(self, models: frozenset[str], ticks: Mapping[int, int], s: float) -> bool:
        """Return whether some models are at work now, or were most of the time.

        What has no process of its own computes in Triton's: ensembles, and networks in ONNX Runtime
        or TensorRT. Of Triton only the time counts, for one of its many threads always does
        something, if only for us.

        Args:
            models: Triton's names of them.
            ticks: what :meth:`ticks` returned ``s`` seconds ago.
            s: not 0.
        """
        own = {pid: served.model for pid, served in self._served.items() if served.model in models}
        pids = {*own} if models.issubset(own.values()) else {*own, self._triton_pid}
        known = [pid for pid in pids if pid in ticks and pid in self._seen]
        spent = sum(self._seen[pid].signs.ticks - ticks[pid] for pid in known)
        return spent / TICKS_PER_S > s / 10 or any(map(threads_at_work, own))

    def idle(self, model: str) -> bool | None:
        """Return whether all processes of a model wait for Triton, to be given or told something.

        Returns:
            None where it has no process of its own.
        """
        pids = [pid for pid, served in self._served.items() if served.model == model]
        if not pids:
            return None
        return all(pid in self._seen and self._waits_for_triton(pid) for pid in pids)

    def ticks(self) -> Mapping[int, int]:
        """Return the CPU time of every process until the last look."""
        return {pid: seen.signs.ticks for pid, seen in self._seen.items()}

    def _seen_now(self, pid: int, now: float) -> _Process | None:
        found = signs(pid)
        if found is None:
            return None
        seen = self._seen.get(pid)
        if seen is None:
            return _Process(found, now, now if found.stopped else None)
        if found != seen.signs:
            seen.signs, seen.changed_at, seen.address = found, now, None
        if not found.stopped:
            seen.stopped_at = None
        elif seen.stopped_at is None:
            seen.stopped_at = now
        return seen

    def _stuck(self, now: float, work: Mapping[str, Work]) -> Fault | None:
        for pid, served in self._served.items():
            seen = self._seen.get(pid)
            loaded = served.model in work and served.version in work[served.model].versions
            if seen is None or not loaded or not self._waits_for_itself(pid, seen):
                continue
            if now - seen.changed_at >= STUCK_S and not threads_at_work(pid):
                return Fault(served.model, f"its process {pid} is stuck", pid)
        return None

    def _waits_for_triton(self, pid: int) -> bool:
        address = wait_address(pid)
        return address is not None and (
            address in self._seen[pid].queues or in_shared_memory(pid, address)
        )

    def _waits_for_itself(self, pid: int, seen: _Process) -> bool:
        """Return whether it waits for something else than Triton, as it did before."""
        address = wait_address(pid)
        if address is None or address in seen.queues:
            return False
        if in_shared_memory(pid, address):
            seen.queues.add(address)
            return False
        before, seen.address = seen.address, address
        # Until it was seen to wait for Triton it has not begun.
        return bool(seen.queues) and before == address

    def _died(self, now: float) -> Fault | None:
        # To find Triton's children takes a file for each of its hundreds of threads, and to see
        # that a known one is gone just one.
        due = now - self._searched_at >= SEARCH_S
        if not (due or self._models.suspects or any(signs(pid) is None for pid in self._served)):
            return None
        self._searched_at = now
        died = self._models.died(
            partial(self._triton.model_states, ANSWER_S),
            partial(self._triton.model_instances, timeout_s=ANSWER_S),
        )
        if died:
            pid = next((pid for pid, each in self._gone.items() if each == died), None)
            if pid is None:
                return Fault(died.model, "its process ended")
            return Fault(died.model, f"its process {pid} {how_it_ended(pid)}", pid)
        before, self._served = self._served, stubs(self._triton_pid)
        gone = {pid: each for pid, each in before.items() if pid not in self._served}
        self._gone = {**gone, **self._gone} if self._models.suspects else {}
        return None

    def _name(self, pid: int) -> str:
        served = self._served.get(pid)
        return served.model if served else TRITON
