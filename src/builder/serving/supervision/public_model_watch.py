"""Whether a model that clients call answers, as canaries and Triton's own counts show.

A canary is sent where nobody's request was answered lately; under load users' requests are better
canaries than ours and none is sent. Its answer may take long for a good reason: it waits behind
requests of users, or behind some that their users gave up. So a late canary is a fault only

- where, since it was sent, no step of its pipeline has ended a request and nothing that works for
  it has computed;
- or where it was not answered for so long that requests that came before it must be done, because
  every queue is first in, first out, and meanwhile a step has stood still that had something to do:
  one that only drops what nobody waits for ends requests too, and one behind it gets none.

What one process of several does is looked at in process_watch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from builder.serving.local_triton import LocalTriton, Work
from builder.serving.supervision.canary import Answer, Canary, Outcome
from builder.serving.supervision.fault import Fault
from builder.serving.supervision.process_watch import ProcessWatch
from builder.serving.triton_metrics import TritonMetrics

# Of the models of a pipeline that nobody has had an answer from, one after the other; longer where
# canaries would take more than a share of the time.
CANARY_EVERY_S = 0.5
CANARY_SHARE = 0.1
CANARY_AT_LEAST_EVERY_S = 60.0
# The network of a large detector takes its time on a processor, so it is also as many times what a
# canary takes when it is quick. On a GPU nobody sees it compute: two batches may be before it.
LATE_S = 1.2
LATE_TIMES = 8
BATCHES_BEFORE = 2
# Or twice as long as a batch takes, frame by frame.
HUNG_S = 30.0
HUNG_TIMES = 2
# ONNX Runtime compiles with TensorRT at run time, for each new size of a batch.
COMPILES_S = 1800.0
# Of failures one after the other, without an answer between, that no bad moment explains.
FAILURES = 3
FAILING_EVERY_S = 1.5
KEPT = 5


@dataclass(frozen=True)
class PublicModel:
    """A model that clients call, and what works for it.

    Attributes:
        name: Triton's name of it.
        steps: names of the models that do the work, in the order in which requests come to them.
        stream: whether it takes packets of streams.
        largest_batch: that its network takes.
        network_in_triton: whether the network has no process of its own.
        compiles: whether the network is compiled while it serves.
    """

    name: str
    steps: tuple[str, ...]
    stream: bool = False
    largest_batch: int = 1
    network_in_triton: bool = False
    compiles: bool = False


class PublicModelWatch:
    """A model that clients call.

    Args:
        triton: that serves it.
        public: the model; may be replaced when another version of it is loaded.
        metrics: of that Triton.

    Attributes:
        model: its name.
        why: it is not ready, in words that follow its name; None where it is.
        steps: names of all models that work for it, itself among them.
    """

    def __init__(self, triton: LocalTriton, public: PublicModel, metrics: TritonMetrics) -> None:
        self.model = public.name
        self.why: str | None = "is starting"
        self.public = public
        self._triton = triton
        self._metrics = metrics
        self.steps = frozenset({public.name, *public.steps})
        self._canary: Canary | None = None
        # Of canaries; the first may have waited for a network that was being compiled.
        self._first_s = 0.0
        self._quick_s: deque[float] = deque(maxlen=KEPT)
        self._works = False
        self._failures = 0
        # Since when canaries were only refused for want of room.
        self._refused_since: float | None = None
        self._answered: int | None = None
        self._ended = 0
        self._standing = {step: _Standing() for step in public.steps}
        # The last moments at which it answered somebody, a step ended a request, and a canary was
        # answered in whatever way.
        self._lived_at = self._moved_at = self.sent_at = float("-inf")
        self._ticks: Mapping[int, int] = {}

    @property
    def later_steps(self) -> tuple[str, ...]:
        """Names of the models that requests come to after the first one."""
        return self.public.steps[1:]

    @property
    def idle_since(self) -> float:
        """When it last answered anybody, or was sent a canary."""
        return max(self._lived_at, self.sent_at)

    def look(
        self, now: float, work: Mapping[str, Work], processes: ProcessWatch, *, may_send: bool
    ) -> Fault | None:
        """Send a canary where one is due, and say what is wrong, if anything.

        Args:
            now: on the monotonic clock.
            work: what all models have done, as Triton told it just now.
            processes: of the same moment.
            may_send: whether it is its turn.
        """
        self._count(now, work, processes)
        if self.model not in work:
            # By whoever gives Triton orders, so it is not for us to give others.
            self._canary, self.why = None, "is not loaded"
            return None
        canary = self._canary
        if canary is None:
            if may_send and now - self.idle_since >= self.every_s:
                self._canary = Canary(self._triton, self.model, stream=self.public.stream)
                self.sent_at, self._ticks = now, processes.ticks()
            return None
        if canary.answer is not None:
            self._canary = None
            return self._judge(now, canary.answer, processes)
        return self._late(now, processes)

    def forgive(self, now: float) -> None:
        """Begin all waiting anew: we were not running ourselves."""
        self._moved_at = now
        for standing in self._standing.values():
            standing.since = now
        self.sent_at = now
        self._refused_since = None

    def _count(self, now: float, work: Mapping[str, Work], processes: ProcessWatch) -> None:
        answered = work.get(self.model, Work()).answered
        ended = sum(work.get(step, Work()).ended for step in self.steps)
        if self._answered is not None and answered > self._answered:
            self._live(now)
        if ended != self._ended:
            self._moved_at, self._ticks = now, processes.ticks()
        self._answered, self._ended = answered, ended
        for number, step in enumerate(self.public.steps):
            done = work.get(step, Work())
            # Requests that Triton refuses because the first queue is full end there too.
            self._standing[step].see(now, done.executions if number == 0 else done.ended)

    @property
    def every_s(self) -> float:
        """Seconds between two canaries; one that is not ready does not wait for its share."""
        if self.why:
            return FAILING_EVERY_S if self._failures else CANARY_EVERY_S
        share_s = min(self._quick_s, default=0) / CANARY_SHARE
        return min(max(CANARY_EVERY_S, share_s), CANARY_AT_LEAST_EVERY_S)

    @property
    def _quickest_s(self) -> float:
        return min(self._quick_s, default=self._first_s)

    @property
    def _late_s(self) -> float:
        times = LATE_TIMES
        if self.public.network_in_triton:
            times = max(times, BATCHES_BEFORE * self.public.largest_batch)
        return max(LATE_S, self._quickest_s * times)

    @property
    def _hung_s(self) -> float:
        batch_s = self._quickest_s * self.public.largest_batch
        compiles_s = COMPILES_S if self.public.compiles else 0
        return max(HUNG_S, self._late_s, batch_s * HUNG_TIMES, compiles_s)

    def _judge(self, now: float, answer: Answer, processes: ProcessWatch) -> Fault | None:
        if answer.outcome is Outcome.ANSWERED:
            if self._works:
                self._quick_s.append(answer.took_s)
            else:
                self._first_s = answer.took_s
            self._live(now)
        elif answer.outcome is Outcome.NOT_LOADED:
            self.why = "is not loaded"  # just now
        elif answer.outcome is Outcome.BUSY:
            return self._refused(now, processes)
        elif answer.outcome is not Outcome.NOT_SENT:
            self._failures += 1
            self.why = "fails on its canary"
            if self._works and self._failures >= FAILURES:
                return Fault(self.model, f"it failed on {self._failures} canaries in a row")
        return None

    def _live(self, now: float) -> None:
        self._lived_at, self._failures, self._works, self.why = now, 0, True, None
        self._refused_since = None

    def _refused(self, now: float, processes: ProcessWatch) -> Fault | None:
        """Somebody refused it, but behind a full queue a model may be hung that none gets to."""
        self._failures = 0
        if self._refused_since is None:
            self._refused_since = now
        if not self._works or self.public.stream:
            # The places of streams may all be taken by some that pause.
            return None
        # What is behind the full queue may get on with what is given up before it ends.
        since = max(self._refused_since, self._lived_at)
        return self._stands_still(now, since, self.public.steps[:1], processes)

    def _stands_still(
        self, now: float, since: float, steps: Sequence[str], processes: ProcessWatch
    ) -> Fault | None:
        """Return the fault where nobody was answered for long and a step did nothing meanwhile."""
        if now - since < self._hung_s:
            return None
        for step in steps:
            if now - self._standing[step].since >= self._hung_s and self._has_work(step, processes):
                return Fault(step, f"it has ended nothing for {self._hung_s:g} s")
        return None

    def _has_work(self, step: str, processes: ProcessWatch) -> bool:
        """Return whether a step has anything to do, as far as anybody knows."""
        if step == self.public.steps[0]:
            return True  # the canary, or its process waits for what it has called
        idle = processes.idle(step)
        if idle is not None:
            return not idle
        pending = self._metrics.pending()
        return pending is None or step not in pending or pending[step] > 0

    def _late(self, now: float, processes: ProcessWatch) -> Fault | None:
        if not self._works:
            return None  # it may still be waiting for its network
        quiet_s = now - max(self.sent_at, self._moved_at)
        if quiet_s >= self._late_s and not processes.computing(self.steps, self._ticks, quiet_s):
            return Fault(self.model, f"it has not answered a canary for {now - self.sent_at:.1f} s")
        since = max(self.sent_at, self._lived_at)
        return self._stands_still(now, since, self.public.steps, processes)


class _Standing:
    """Since when a step has done nothing."""

    def __init__(self) -> None:
        self.since = float("-inf")
        self._done = 0

    def see(self, now: float, done: int) -> None:
        """Take note of what it has done until now."""
        if done != self._done:
            self._done, self.since = done, now
