"""The search: the best load of one choice of settings, and the best choice. It measures nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from builder.benchmark.sweep import CONCURRENCIES
from builder.tuning.parameters import Choice, Space
from builder.tuning.trial import LEAST_GAIN, Held, Point, Trial, VariantTrial, is_better

# A load is measured again before it counts: the best of many noisy ones is a lucky one.
REPEATS = 2
# Loads in a row that may gain nothing before more load is given up.
PATIENCE = 2
# Each parameter is tried again while another one has changed, but not for ever.
PASSES = 3

# Measures requests in flight; the number is how many images a second to expect, 0 if unknown.
Measure = Callable[[int, float], Point]
# Measures a choice; the trial is the best one so far, which tells where to begin.
Attempt = Callable[[Choice, "Trial | None"], Trial]


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        trials: every choice once, in the order in which they were measured; the first is the
            present one.
        best: one of them.
    """

    trials: tuple[Trial, ...]
    best: Trial

    @property
    def present(self) -> Trial:
        """What there is already."""
        return self.trials[0]


def best_load(
    model: str, measure: Measure, bound_ms: float, *, begin: int, most: int
) -> VariantTrial:
    """Find how many requests in flight give the most throughput within a latency bound.

    The load is doubled as long as that pays, or halved until the bound is kept. Then the best is
    measured again, and the next best where its median breaks the bound.

    Args:
        model: Triton's name of the variant.
        measure: measures a load.
        bound_ms: of the 99th percentile.
        begin: requests in flight to begin with.
        most: more are not tried.
    """
    points: list[Point] = []

    def look(in_flight: int) -> Point:
        points.append(measure(in_flight, points[-1].images_per_s if points else 0.0))
        return points[-1]

    def hold(point: Point) -> VariantTrial | None:
        if point.p99_ms > bound_ms:
            return None
        held = Held((point, *(look(point.in_flight) for _ in range(REPEATS))))
        return VariantTrial(model, tuple(points), held) if held.p99_ms <= bound_ms else None

    counts = [count for count in CONCURRENCIES if count <= most]
    first = max((index for index, count in enumerate(counts) if count <= begin), default=0)
    best, idle = 0.0, 0
    for count in counts[first:]:
        point = look(count)
        idle = 0 if point.images_per_s > best * (1 + LEAST_GAIN) else idle + 1
        if point.p99_ms > bound_ms or idle == PATIENCE:
            break
        best = max(best, point.images_per_s)
    for point in sorted(points, key=lambda each: -each.images_per_s):
        if trial := hold(point):
            return trial
    for count in reversed(counts[:first]):
        if trial := hold(look(count)):
            return trial
    return VariantTrial(model, tuple(points), None)


def search(present: Choice, space: Space, attempt: Attempt) -> Search:
    """Change one parameter at a time and keep what pays by more than the noise.

    Args:
        present: where to begin.
        space: the values of each parameter.
        attempt: measures a choice.
    """
    tried: dict[Choice, Trial] = {present: attempt(present, None)}
    best = tried[present]
    for _ in range(PASSES):
        before = best
        for name, values in space.items():
            for value in values:
                choice = replace(best.choice, **{name: value})  # type: ignore[arg-type]
                if choice not in tried:
                    tried[choice] = attempt(choice, best)
                    if is_better(tried[choice], best):
                        best = tried[choice]
        if best is before:
            break
    return Search(tuple(tried.values()), best)
