"""The settings with which LitServe answers the most images: a small search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from builder.benchmark.litserve import LitServeSettings
from builder.errors import BenchmarkError

BATCHES = (4, 8)
# LitServe's documentation has 10 and 50 ms in its examples.
SHORT_WAIT_S, LONG_WAIT_S = 0.01, 0.05

# Images a second with some settings.
Try = Callable[[LitServeSettings], float]


def search(
    measure: Try, models: Sequence[Path], cores: int
) -> tuple[LitServeSettings, list[tuple[LitServeSettings, float | BenchmarkError]]]:
    """Return the best settings, and all that were tried with what came of them.

    First each file with one worker and with one for each core, one picture at a time; then batches
    with either number of workers and the best file; then the best of all with a longer wait. What
    fails is left out.

    Args:
        measure: what they come to.
        models: files of the detector.
        cores: of the machine.

    Raises:
        BenchmarkError: nothing that was tried could be measured.
    """
    tried: dict[LitServeSettings, float | BenchmarkError] = {}

    def best() -> LitServeSettings:
        rates = {tried_one: rate for tried_one, rate in tried.items() if isinstance(rate, float)}
        if not rates:
            raise next(iter(tried.values()))  # type: ignore[misc]
        return max(rates, key=lambda tried_one: rates[tried_one])

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
    model = best().model
    for count in workers:
        for batch in BATCHES:
            attempt(LitServeSettings(model, count, batch, SHORT_WAIT_S))
    if (leader := best()).batch > 1:
        attempt(replace(leader, batch_timeout_s=LONG_WAIT_S))
    return best(), list(tried.items())
