"""How much of a fault is injected, and how strict its clocks are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

# Short forms run in CI beside other programs, on machines of two slow cores: limits in seconds are
# multiplied by this there. What must not happen at all has no such factor.
SHORT_ALLOWANCE = 3.0


@dataclass(frozen=True)
class Scale:
    """The long form of the drill, or the short one.

    Attributes:
        short: whether it is the form that CI runs.
    """

    short: bool

    def of(self, long: T, short: T) -> T:
        """Return what belongs to this form."""
        return short if self.short else long

    def limit(self, seconds: float) -> float:
        """Return a limit of the issue's table as this form counts it."""
        return seconds * (SHORT_ALLOWANCE if self.short else 1.0)
