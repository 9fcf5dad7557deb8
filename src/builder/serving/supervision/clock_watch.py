"""Whether the machine's clock was set, and whether Triton took that for the death of a model.

Triton's Python backend looks every second of the time of day whether a model's process lives (24.10
to 26.06). Where the clock is set forwards meanwhile, the second is over at once, the request fails
with "Stub process ... is not healthy", and the answer that the process gives all the same is taken
for that to the next request. So a model that failed requests when the clock was set is not to be
believed any more.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from builder.serving.local_triton import Work
from builder.serving.supervision.fault import Fault
from builder.serving.triton_metrics import TritonMetrics

# A clock that is only steered goes wrong by half a thousandth of the time at most.
STEP_S = 0.2
# Triton's second, and one more for its counts.
SUSPECT_S = 3.0


class ClockWatch:
    """Compares the time of day with the monotonic clock.

    Args:
        metrics: of the Triton that is watched.
    """

    def __init__(self, metrics: TritonMetrics) -> None:
        self._metrics = metrics
        self._offset = time.time() - time.monotonic()
        self._step_s = 0.0
        self._suspect_until = float("-inf")
        # Of each model: failed requests in the statistics, and those that nobody cancelled.
        self._counted: dict[str, int] = {}
        self._failed: dict[str, int] = {}

    def look(self, now: float) -> bool:
        """Return whether the clock was set a moment ago.

        Args:
            now: on the monotonic clock.
        """
        offset = time.time() - time.monotonic()
        if abs(offset - self._offset) >= STEP_S:
            self._step_s = offset - self._offset
            self._suspect_until = now + SUSPECT_S
        self._offset = offset
        return now < self._suspect_until

    def judge(self, now: float, models: Iterable[str], work: Mapping[str, Work]) -> Fault | None:
        """Return the fault of a model that has failed requests since the clock was set.

        Args:
            now: on the monotonic clock.
            models: names of those that run in processes, and that fail no requests of their own.
            work: what all models have done.
        """
        counted = {model: work[model].failed for model in models if model in work}
        if counted == self._counted:
            return None
        # Those that users cancelled among them, which only the metrics tell apart; without them a
        # start too many is better than a wrong answer.
        self._counted = counted
        told = self._metrics.failures()
        failed = {model: counted[model] if told is None else told[model] for model in counted}
        before, self._failed = self._failed, failed
        if now >= self._suspect_until:
            return None
        for model, count in failed.items():
            if count > before.get(model, count):
                return Fault(
                    model,
                    f"it failed requests when the clock was set by {self._step_s:+.1f} s, and may "
                    "confuse its answers",
                )
        return None
