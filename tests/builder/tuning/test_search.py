"""Which settings: the known best of machines that are made up, and never one that noise made."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from builder.settings import Decoder
from builder.tuning.parameters import Choice
from builder.tuning.search import Search, search
from builder.tuning.trial import Trial, is_better
from tests.builder.tuning.stand_ins import CHOICE, OTHER, trial

SPACE = {
    "decoder": (Decoder.EXACT, Decoder.SCALED),
    "instances": (1, 2, 4, 8),
    "decode_threads": (0, 1, 2),
    "max_batch": (16, 32),
}


def found(images_per_s: Callable[[Choice], float], noise: float = 0.0) -> Search:
    """Search a machine; three measurements of a load vary by ``noise``."""
    chance = np.random.default_rng(7)

    def attempt(choice: Choice, best: Trial | None) -> Trial:
        truth = images_per_s(choice)
        seen = (truth * float(1 + noise * chance.uniform(-1, 1)) for _ in range(3))
        return trial(*seen, choice=choice)

    return search(CHOICE, SPACE, attempt)


def test_the_known_best_is_found() -> None:
    best = Choice(decoder=Decoder.SCALED, instances=4, decode_threads=1, max_batch=32)

    def images_per_s(choice: Choice) -> float:
        right = sum(vars(choice)[name] == value for name, value in vars(best).items())
        return 100 * 1.2**right - 5 * abs(math.log2(choice.instances / 4))

    assert found(images_per_s).best.choice == best


def test_parameters_that_depend_on_each_other_are_tried_again() -> None:
    # More instances pay only with one thread each, which is tried after them.
    def images_per_s(choice: Choice) -> float:
        one = choice.decode_threads == 1
        return 100 + 10 * one + (20 * choice.instances if one else -choice.instances)

    assert found(images_per_s).best.choice.instances == 8


def test_noise_does_not_win() -> None:
    seen = found(lambda _: 100, noise=0.1)
    assert seen.best is seen.present
    assert seen.present.choice == CHOICE


def test_a_gain_as_small_as_any_noise_does_not_win() -> None:
    seen = found(lambda choice: 102 if choice.instances == 4 else 100)
    assert seen.best is seen.present


def test_no_choice_is_measured_twice() -> None:
    seen = found(lambda choice: 100 + choice.instances * 10 + choice.max_batch)
    choices = [each.choice for each in seen.trials]
    assert len(choices) == len(set(choices))
    assert choices[0] == CHOICE


def test_every_attempt_knows_the_best_so_far() -> None:
    known: list[Trial | None] = []

    def attempt(choice: Choice, best: Trial | None) -> Trial:
        known.append(best)
        return trial(choice.instances * 100, choice=choice)

    search(CHOICE, {"instances": (1, 2, 4, 8)}, attempt)
    assert known[0] is None
    assert [each.choice.instances for each in known[1:] if each] == [2, 2, 4]


@pytest.mark.parametrize(
    ("one", "other", "better"),
    [
        (trial(104), trial(100), True),
        (trial(102), trial(100), False),
        (trial(100), trial(104), False),
        (trial(110, 110, 95), trial(100), False),  # its own spread is larger than its gain
        (trial(110), trial(100, 92, 108), False),
        (trial(1), trial(1000, held=False), True),  # it keeps the bound
        (trial(1000, held=False), trial(1), False),
        (trial(10, held=False, p99_ms=80), trial(10, held=False, p99_ms=100), True),
        (trial(10, held=False, p99_ms=99), trial(10, held=False, p99_ms=100), False),
    ],
)
def test_what_is_better(one: Trial, other: Trial, better: bool) -> None:
    assert is_better(one, other) is better


def test_both_variants_count() -> None:
    both = Trial(CHOICE, (*trial(100).variants, *trial(400).variants))
    assert both.score == pytest.approx(200)
    one_fails = Trial(OTHER, (*trial(1000).variants, *trial(1000, held=False).variants))
    assert one_fails.score is None
    assert is_better(both, one_fails)
