from __future__ import annotations

import pytest

from builder.benchmark.sample import Sample, play, ratio


def test_every_round_measures_all_and_begins_with_another() -> None:
    order: list[str] = []

    def contestant(name: str) -> Sample:
        order.append(name)
        return Sample(len(order), None, 1.0)

    names = ("a", "b", "c")
    contestants = {name: (lambda name=name: contestant(name)) for name in names}
    rounds = list(play(contestants, 4))
    assert ["".join(order[n : n + 3]) for n in range(0, 12, 3)] == ["abc", "bca", "cab", "abc"]
    assert [list(found) for found in rounds] == [["a", "b", "c"]] * 4
    assert rounds[1]["b"].images_per_s == 4


def test_a_ratio_is_taken_within_each_round() -> None:
    # The machine is half as fast in the second round; what is compared is not.
    found = ratio([60.0, 33.0, 54.0], [10.0, 5.0, 10.0])
    assert (found.median, found.low, found.high, found.rounds) == (6.0, 5.4, 6.6, 3)


def test_rounds_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratio([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="no round"):
        ratio([], [])
