"""Whether a model that clients call answers, as canaries and Triton's own counts show.

A canary is sent where nobody's request was answered lately; under load users' requests are better
canaries than ours and none is sent. Its answer may take long for a good reason: it waits behind
requests of users. So a late canary is a fault only where, since it was sent, no step of its
pipeline has ended a request and no process of its models has computed; or, whatever they did, where
it was not answered for so long that requests that came before it must be done, because every queue
is first in, first out.

What one process of several does is looked at in process_watch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from builder.serving.local_triton import LocalTriton, Work
from builder.serving.supervision.canary import Answer, Canary, Outcome
from builder.serving.supervision.fault import Fault
from builder.serving.supervision.process_watch import ProcessWatch

# Of the models of a pipeline that nobody has had an answer from, one after the other; longer where
# canaries would take more than a share of the time.
CANARY_EVERY_S = 0.5
CANARY_SHARE = 0.1
# The network of a large detector takes its time on a processor, so it is also as many times what a
# canary takes when it is quick.
LATE_S = 1.2
LATE_TIMES = 8
HUNG_S = 30.0
# Of failures one after the other, without an answer between, that no bad moment explains.
FAILURES = 3
FAILING_EVERY_S = 1.5
KEPT = 5


class PublicModelWatch:
    """A model that clients call.

    Args:
        triton: that serves it.
        model: Triton's name of it.
        steps: models that work for it, itself among them.
        stream: whether it takes packets of streams.
    """

    def __init__(
        self, triton: LocalTriton, model: str, steps: frozenset[str], *, stream: bool
    ) -> None:
        self.model = model
        self.why: str | None = "is starting"
        self._triton = triton
        self._steps = steps
        self._stream = stream
        self._canary: Canary | None = None
        self._quick_s: deque[float] = deque(maxlen=KEPT)
        self._works = False
        self._failures = 0
        # Since when canaries were only refused for want of room.
        self._refused_since: float | None = None
        self._answered: int | None = None
        self._ended = 0
        # The last moments at which it answered somebody, a step ended a request, and a canary was
        # answered in whatever way.
        self._lived_at = self._moved_at = self.sent_at = float("-inf")
        self._ticks: Mapping[int, int] = {}

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
                self._canary = Canary(self._triton, self.model, stream=self._stream)
                self.sent_at, self._ticks = now, processes.ticks()
            return None
        if canary.answer is not None:
            self._canary = None
            return self._judge(now, canary.answer)
        return self._late(now, processes)

    def forgive(self, now: float) -> None:
        """Begin all waiting anew: we were not running ourselves."""
        self._moved_at = now
        self.sent_at = now
        self._refused_since = None

    def _count(self, now: float, work: Mapping[str, Work], processes: ProcessWatch) -> None:
        answered = work.get(self.model, Work()).answered
        ended = sum(work.get(step, Work()).ended for step in self._steps)
        if self._answered is not None and answered > self._answered:
            self._live(now)
        if ended != self._ended:
            self._moved_at, self._ticks = now, processes.ticks()
        self._answered, self._ended = answered, ended

    @property
    def every_s(self) -> float:
        """Seconds between two canaries; one that is not ready does not wait for its share."""
        if self.why:
            return FAILING_EVERY_S if self._failures else CANARY_EVERY_S
        return max(CANARY_EVERY_S, min(self._quick_s, default=0) / CANARY_SHARE)

    @property
    def _late_s(self) -> float:
        return max(LATE_S, min(self._quick_s, default=0) * LATE_TIMES)

    @property
    def _hung_s(self) -> float:
        return max(HUNG_S, self._late_s)

    def _judge(self, now: float, answer: Answer) -> Fault | None:
        if answer.outcome is Outcome.ANSWERED:
            self._quick_s.append(answer.took_s)
            self._live(now)
        elif answer.outcome is Outcome.NOT_LOADED:
            self.why = "is not loaded"  # just now
        elif answer.outcome is Outcome.BUSY:
            return self._refused(now)
        elif answer.outcome is not Outcome.NOT_SENT:
            self._failures += 1
            self.why = "fails on its canary"
            if self._works and self._failures >= FAILURES:
                return Fault(self.model, f"it failed on {self._failures} canaries in a row")
        return None

    def _live(self, now: float) -> None:
        self._lived_at, self._failures, self._works, self.why = now, 0, True, None
        self._refused_since = None

    def _refused(self, now: float) -> Fault | None:
        """Somebody refused it, but behind a full queue a model may be hung that none gets to."""
        self._failures = 0
        if self._refused_since is None:
            self._refused_since = now
        # The places of streams may all be taken by some that pause.
        hung = now - self._refused_since >= self._hung_s
        return self._answers_nobody() if hung and self._works and not self._stream else None

    def _answers_nobody(self) -> Fault:
        return Fault(self.model, f"it has answered nobody for {self._hung_s:g} s")

    def _late(self, now: float, processes: ProcessWatch) -> Fault | None:
        if not self._works:
            return None  # it may still be waiting for its network
        quiet_s = now - max(self.sent_at, self._moved_at)
        if quiet_s >= self._late_s and not processes.computing(self._steps, self._ticks, quiet_s):
            return Fault(self.model, f"it has not answered a canary for {now - self.sent_at:.1f} s")
        hung = now - max(self.sent_at, self._lived_at) >= self._hung_s
        return self._answers_nobody() if hung else None
