"""The settings with which LitServe answers the most images: a small search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from builder.benchmark.litserve import LitServeSettings
from builder.errors import BenchmarkError

BATCHES = (4, 8)
# LitServe's documentation has 10 and 50 ms in its examples.
SHORT_WAIT_S, LONG_WAIT_S = 0.01, 0.05

# What did best is measured again: on a machine that is shared one look may deceive.
FINALISTS = 3

# Images a second with some settings.
Try = Callable[[LitServeSettings], float]
# What came of a try: so many, or why nothing.
Outcome = float | BenchmarkError


def search(
    measure: Try, models: Sequence[Path], cores: int
) -> tuple[LitServeSettings, dict[LitServeSettings, Outcome]]:
    """Return the best settings, and all that were tried with what came of them.

    First each file with one worker and with one for each core, one picture at a time; then batches
    with either number of workers and the best file; then the best of all with a longer wait. The
    best three of these are measured again, and of two values the better one counts. What fails is
    left out.

    Args:
        measure: what they come to.
        models: files of the detector.
        cores: of the machine.

    Raises:
        BenchmarkError: nothing that was tried could be measured.
    """
    tried: dict[LitServeSettings, Outcome] = {}

    def attempt(settings: LitServeSettings) -> None:
        if settings not in tried:
            try:
                tried[settings] = measure(settings)
            except BenchmarkError as error:
                tried[settings] = error

    workers = sorted({1, cores})
    for model in models:
        for count in workers:
            attempt(LitServeSettings(model, count))
    model = _best(tried)[0].model
    for count in workers:
        for batch in BATCHES:
            attempt(LitServeSettings(model, count, batch, SHORT_WAIT_S))
    if (leader := _best(tried)[0]).batch > 1:
        attempt(replace(leader, batch_timeout_s=LONG_WAIT_S))
    for finalist in _best(tried)[:FINALISTS]:
        tried[finalist] = max(_rates(tried)[finalist], measure(finalist))
    return _best(tried)[0], tried


def _rates(tried: Mapping[LitServeSettings, Outcome]) -> dict[LitServeSettings, float]:
    return {settings: outcome for settings, outcome in tried.items() if isinstance(outcome, float)}


def _best(tried: Mapping[LitServeSettings, Outcome]) -> list[LitServeSettings]:
    """Return what could be measured, the best first."""
    rates = _rates(tried)
    failures = [outcome for outcome in tried.values() if isinstance(outcome, BenchmarkError)]
    if not rates and failures:
        raise failures[0]
    return sorted(rates, key=lambda settings: rates[settings], reverse=True)
