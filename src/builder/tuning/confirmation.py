"""The winner of a search against what there is, in alternating rounds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from builder.benchmark.sample import Ratio, play, ratio
from builder.tuning.trial import LEAST_GAIN, Point

# What each variant did in one round, by Triton's name of it.
Seen = Mapping[str, Point]
PRESENT, WINNER = "present", "winner"


@dataclass(frozen=True)
class Confirmation:
    """What the rounds found.

    Attributes:
        present: of the settings there are, a round each.
        winner: of the settings that the search found, in the same rounds.
        bound_ms: of the 99th percentile.
    """

    present: tuple[Seen, ...]
    winner: tuple[Seen, ...]
    bound_ms: float

    @property
    def ratio(self) -> Ratio:
        """Throughput over that of the present settings; of both variants, the geometric mean."""
        return ratio(
            [_score(seen) for seen in self.winner], [_score(seen) for seen in self.present]
        )

    @property
    def present_keeps(self) -> bool:
        """Whether the present settings keep the bound."""
        return _worst_p99_ms(self.present) <= self.bound_ms

    @property
    def winner_keeps(self) -> bool:
        """Whether the winner keeps the bound."""
        return _worst_p99_ms(self.winner) <= self.bound_ms

    @property
    def wins(self) -> bool:
        """Whether to change the settings.

        The winner keeps the bound, and either the present settings do not, or it was faster in
        every round and by more than the noise in the median one.
        """
        faster = self.ratio.low > 1 and self.ratio.median > 1 + LEAST_GAIN
        return self.winner_keeps and (faster or not self.present_keeps)

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        found = self.ratio
        spread = f"{found.low:.2f} to {found.high:.2f} over {found.rounds} rounds"
        if not self.winner_keeps:
            return (
                f"the best found broke the bound when measured again (p99 "
                f"{_worst_p99_ms(self.winner):.1f} ms): the present settings stay"
            )
        if not self.present_keeps:
            return (
                f"the best found keeps the bound with p99 {_worst_p99_ms(self.winner):.1f} ms, the "
                f"present settings do not with {_worst_p99_ms(self.present):.1f} ms"
            )
        words = f"{found.median:.2f} times the present throughput ({spread})"
        return words if self.wins else f"{words}, which is no sure gain: the present settings stay"


def confirm(
    present: Callable[[], Seen], winner: Callable[[], Seen], rounds: int, bound_ms: float
) -> Confirmation:
    """Measure both in every round, each round beginning with the other one."""
    played = list(play({PRESENT: present, WINNER: winner}, rounds))
    return Confirmation(
        tuple(each[PRESENT] for each in played), tuple(each[WINNER] for each in played), bound_ms
    )


def _score(seen: Seen) -> float:
    return statistics.geometric_mean(point.images_per_s for point in seen.values())


def _worst_p99_ms(rounds: Sequence[Seen]) -> float:
    return max(statistics.median(seen[model].p99_ms for seen in rounds) for model in rounds[0])
