"""When to try again, and until when."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["MOST_LOST_PROCESSES", "Budget", "RetryPolicy"]


@dataclass(frozen=True)
class RetryPolicy:
    """How often a request that was refused for the moment is sent again.

    Only failures that say "not now" are retried: a connection that is refused, lost or still being
    made, a full queue, a server that is starting or stopping (gRPC's UNAVAILABLE), one whose model
    lost its process (INTERNAL, "not healthy"; three times at most), and a proxy's rate limit
    (RESOURCE_EXHAUSTED).
    Detection changes nothing on the server, so a second send is harmless. A bad image, a bad
    parameter, any other fault of the server and a missed deadline are never retried.

    The pause doubles from try to try and is shortened by up to half at random, so that clients
    that were refused together do not come back together. Pauses and tries share the call's one
    deadline: a pause that would outlast it is not begun.

    Ten tries, with pauses of some 8 s together, outlast a server that stops among several. It
    refuses for seconds, and calls that take turns with others may meet it again each time.

    Attributes:
        attempts: tries in all, at least 1; 1 means no retries.
        first_delay_s: pause after the first try.
        max_delay_s: longest pause.
    """

    attempts: int = 10
    first_delay_s: float = 0.1
    max_delay_s: float = 2.0

    def __post_init__(self) -> None:
        """Check the values."""
        if self.attempts < 1:
            raise ValueError(f"attempts is {self.attempts}, expected at least 1")
        if not 0 <= self.first_delay_s <= self.max_delay_s:
            raise ValueError(
                f"delays are {self.first_delay_s} to {self.max_delay_s} s,"
                " expected 0 <= first_delay_s <= max_delay_s"
            )

    def delay_s(self, failures: int, jitter: float) -> float:
        """Return the pause after the given number of failures; jitter is 0 (longest) to 1."""
        # The exponent is capped so that many attempts cannot overflow a float.
        longest = min(self.max_delay_s, self.first_delay_s * 2.0 ** min(failures - 1, 60))
        return longest * (1 - jitter / 2)


# It may be this very request that ends the process, on one server after the other. Servers that are
# looked after have a dead process for a second, in which a call meets it once or twice.
MOST_LOST_PROCESSES = 3


class Budget:
    """What is left of one call's deadline and tries; a call may be several requests.

    Attributes:
        timeout_s: the whole call's time; None for any.
        interrupted: called when the server was away, or about to be, and not only busy.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        timeout_s: float | None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        *,
        interrupted: Callable[[], None] = lambda: None,
    ) -> None:
        self.timeout_s = timeout_s
        self.interrupted = interrupted
        self._policy = policy
        self._clock = clock
        self._jitter = jitter
        self._deadline = None if timeout_s is None else clock() + timeout_s
        self._failures = 0
        self._lost_processes = 0

    def remaining_s(self) -> float | None:
        """Return the seconds left until the deadline, at least 0; None when there is none."""
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - self._clock())

    def succeeded(self) -> None:
        """Count a request that was answered: the next one has all its tries."""
        self._failures = self._lost_processes = 0

    def pause_s(self, *, lost_process: bool = False) -> float | None:
        """Count a failed try and return the pause before the next; None when it was the last.

        Args:
            lost_process: whether it failed because a model has lost its process.
        """
        self._failures += 1
        self._lost_processes += lost_process
        if self._failures >= self._policy.attempts or self._lost_processes > MOST_LOST_PROCESSES:
            return None
        pause = self._policy.delay_s(self._failures, self._jitter())
        remaining = self.remaining_s()
        return None if remaining is not None and pause >= remaining else pause
