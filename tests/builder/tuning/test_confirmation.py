"""Whether the winner of a search is one, decided by rounds by turns."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pytest

from builder.tuning.confirmation import Confirmation, Seen, confirm
from tests.builder.tuning.stand_ins import point

BOUND_MS = 60


def rounds(images_per_s: Sequence[float], p99_ms: float = 50) -> tuple[Seen, ...]:
    return tuple({"tiny": point(each, p99_ms)} for each in images_per_s)


@pytest.mark.parametrize(
    ("present", "winner", "wins", "said"),
    [
        (rounds([100, 90, 110]), rounds([120, 100, 130]), True, r"1\.18 times .*1\.11 to 1\.20"),
        (rounds([100, 90, 110]), rounds([120, 89, 130]), False, "no sure gain"),
        (rounds([100, 100, 100]), rounds([101, 102, 102]), False, "no sure gain"),
        (rounds([100, 100, 100]), rounds([150, 150, 150], p99_ms=61), False, "p99 61.0 ms"),
        (rounds([100, 90, 110], p99_ms=70), rounds([50, 50, 50]), True, "not with 70.0 ms"),
        (rounds([9, 9, 9], p99_ms=70), rounds([50, 50, 50], p99_ms=65), False, "broke the bound"),
    ],
    ids=["faster", "once slower", "within noise", "too slow", "only one keeps it", "neither"],
)
def test_a_winner_must_be_sure(
    present: tuple[Seen, ...], winner: tuple[Seen, ...], wins: bool, said: str
) -> None:
    found = Confirmation(present, winner, BOUND_MS)
    assert found.wins is wins
    assert re.search(said, found.sentence)


def test_the_variants_count_together() -> None:
    present = ({"tiny": point(100), "tiny_bls": point(100)},) * 3
    winner = ({"tiny": point(400), "tiny_bls": point(100)},) * 3
    assert Confirmation(present, winner, BOUND_MS).ratio.median == pytest.approx(2)
    slow = ({"tiny": point(400), "tiny_bls": point(100, 61)},) * 3
    assert not Confirmation(present, slow, BOUND_MS).wins


def test_one_slow_round_does_not_break_the_bound() -> None:
    shaken = ({"tiny": point(150)}, {"tiny": point(150, 900)}, {"tiny": point(150)})
    assert Confirmation(rounds([100, 100, 100]), shaken, BOUND_MS).wins


def test_both_are_measured_by_turns() -> None:
    asked: list[str] = []

    def side(name: str, images_per_s: float) -> Callable[[], Seen]:
        def seen() -> Seen:
            asked.append(name)
            return {"tiny": point(images_per_s)}

        return seen

    found = confirm(side("present", 100), side("winner", 200), 3, BOUND_MS)
    assert asked == ["present", "winner", "winner", "present", "present", "winner"]
    assert found.ratio.median == pytest.approx(2)
    assert found.ratio.rounds == 3
