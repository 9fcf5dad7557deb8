"""How often, and how soon, a server is started again."""

from __future__ import annotations

from collections import deque

from builder.errors import ServerDiedError, SettingsError

# A server that does not stay up is worse than one that is gone: those who watch it would never
# notice, and send it requests.
MOST_HEALINGS = 5
WINDOW_S = 600.0
# Once it was well for so long, starting it did mend it.
HELD_S = 2.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0


class HealingLimit:
    """Counts what was healed.

    Args:
        most: within :data:`WINDOW_S`.

    Raises:
        SettingsError: on creation, when that is less than 1.
    """

    def __init__(self, most: int = MOST_HEALINGS) -> None:
        if most < 1:
            raise SettingsError(
                f"--max-restarts must be at least 1, got {most}: leave supervision out with "
                "--no-supervise"
            )
        self._most = most
        self._times: deque[float] = deque()
        self._in_a_row = 0

    def allows(self, now: float) -> bool:
        """Return whether it may be started again now.

        Args:
            now: on the monotonic clock.
        """
        return sum(now - each <= WINDOW_S for each in self._times) < self._most

    def next_pause_s(self, now: float, up_since: float | None, why: str) -> float:
        """Return how long to wait before the next start; nothing where the last one held.

        Args:
            now: on the monotonic clock.
            up_since: when the server was last known to be well; None where it never was since its
                last start.
            why: it has to be started again.

        Raises:
            ServerDiedError: it has been started again too often.
        """
        while self._times and now - self._times[0] > WINDOW_S:
            self._times.popleft()
        if len(self._times) >= self._most:
            raise ServerDiedError(
                f"{why}, and Triton was started again {len(self._times)} times within "
                f"{WINDOW_S / 60:g} min already: what goes wrong is told above"
            )
        self._times.append(now)
        if up_since is not None and now - up_since >= HELD_S:
            self._in_a_row = 0
            return 0.0
        self._in_a_row += 1
        if self._in_a_row == 1:
            return 0.0
        pause_s: float = FIRST_PAUSE_S * 2.0 ** (self._in_a_row - 2)
        return min(pause_s, LONGEST_PAUSE_S)
