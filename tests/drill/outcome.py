"""What became of one fault, and the table of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

HEADINGS = (
    *("fault", "injected", "sent", "answered", "refused", "lost"),
    *("notice s", "heal s", "peak MB", "held"),
)


@dataclass
class Outcome:
    """What one fault did to the server and to its clients.

    Attributes:
        injected: what was done, in a few words with its numbers.
        sent: images, or calls, that clients sent while it was done.
        answered: of these, with what an undisturbed server answers.
        refused: of these, in words and at once, as they should be.
        lost: of these, given up by the client, or answered wrongly.
        notice_s: longest time until the server said that it was not well; None where it need not.
        heal_s: longest time from the fault until all was as before; None where nothing was broken.
        peak_mb: most memory of all processes of the server together, in MB of 2**20 bytes.
        memory_mb: of each process, at equal steps of the load; empty where it is not what counts.
        broken: what did not hold, a sentence each.
        notes: what else is worth knowing.
        seconds: that all of it took.
    """

    injected: str = ""
    sent: int = 0
    answered: int = 0
    refused: int = 0
    lost: int = 0
    notice_s: float | None = None
    heal_s: float | None = None
    peak_mb: float | None = None
    memory_mb: dict[str, list[float]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def held(self) -> bool:
        """Whether everything held that must."""
        return not self.broken

    def expect(self, holds: bool, otherwise: str) -> None:
        """Keep what did not hold, in words."""
        if not holds:
            self.broken.append(otherwise)

    def noticed(self, seconds: float) -> None:
        """Keep the longest time to notice."""
        self.notice_s = max(seconds, self.notice_s or 0.0)

    def healed(self, seconds: float) -> None:
        """Keep the longest time to heal."""
        self.heal_s = max(seconds, self.heal_s or 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {**asdict(self), "held": self.held}


def table(outcomes: dict[str, Outcome]) -> list[str]:
    """Return the lines of a Markdown table, a fault a row."""
    rows = [HEADINGS, *(_row(fault, outcome) for fault, outcome in outcomes.items())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [
        _line([cell.ljust(width) for cell, width in zip(row, widths, strict=True)]) for row in rows
    ]
    lines.insert(1, _line(["-" * width for width in widths]))
    return lines


def remarks(outcomes: dict[str, Outcome]) -> list[str]:
    """Return what does not fit into the table: why a fault did not hold first."""
    return [
        f"{fault}: {text}"
        for fault, outcome in outcomes.items()
        for text in (*(f"NOT HELD: {why}" for why in outcome.broken), *outcome.notes)
    ]


def last_line(outcomes: dict[str, Outcome]) -> str:
    """Return the drill's last line."""
    held = sum(outcome.held for outcome in outcomes.values())
    return f"drill: {held} of {len(outcomes)} faults held"


def _row(fault: str, outcome: Outcome) -> tuple[str, ...]:
    counts = (outcome.sent, outcome.answered, outcome.refused, outcome.lost)
    seconds = (outcome.notice_s, outcome.heal_s)
    return (
        fault,
        outcome.injected,
        *(str(count) for count in counts),
        *("" if each is None else f"{each:.1f}" for each in seconds),
        "" if outcome.peak_mb is None else f"{outcome.peak_mb:.0f}",
        "yes" if outcome.held else "NO",
    )


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
