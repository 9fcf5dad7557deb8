"""What came of one choice of settings, and which of two is the better one."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from builder.tuning.parameters import Choice

# What two measurements of the same thing may differ by on a quiet machine.
LEAST_GAIN = 0.03


@dataclass(frozen=True)
class Point:
    """One measurement of one load.

    Attributes:
        in_flight: requests of one image each.
        images_per_s: throughput.
        p50_ms: median latency.
        p99_ms: its 99th percentile.
        cpu_ms: user and system time of an image in the server's processes; None if not known.
    """

    in_flight: int
    images_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float | None


@dataclass(frozen=True)
class Held:
    """A load under which a variant keeps the bound, measured several times.

    Attributes:
        points: all of the same load; the bound is kept by their median.
    """

    points: tuple[Point, ...]

    @property
    def in_flight(self) -> int:
        """Requests in flight."""
        return self.points[0].in_flight

    @property
    def images_per_s(self) -> float:
        """Median throughput."""
        return statistics.median(point.images_per_s for point in self.points)

    @property
    def p99_ms(self) -> float:
        """Median of the 99th percentiles."""
        return statistics.median(point.p99_ms for point in self.points)

    @property
    def spread(self) -> float:
        """Between the least and the most throughput, over its median."""
        found = [point.images_per_s for point in self.points]
        return (max(found) - min(found)) / self.images_per_s


@dataclass(frozen=True)
class VariantTrial:
    """What one variant of a pipeline did.

    Attributes:
        model: Triton's name of it.
        points: every measurement, in its order.
        held: the load with the most throughput within the bound; None if no load keeps it.
    """

    model: str
    points: tuple[Point, ...]
    held: Held | None

    @property
    def quickest(self) -> Point:
        """The measurement with the least 99th percentile."""
        return min(self.points, key=lambda point: point.p99_ms)

    @property
    def in_flight(self) -> int:
        """Of the load that is to be measured again: the one that is held, else the quickest."""
        return self.held.in_flight if self.held else self.quickest.in_flight


@dataclass(frozen=True)
class Trial:
    """What came of one choice, for each variant that counts."""

    choice: Choice
    variants: tuple[VariantTrial, ...]

    @property
    def score(self) -> float | None:
        """Images a second, the geometric mean of the variants; None if one breaks the bound."""
        held = [each.held.images_per_s for each in self.variants if each.held]
        return statistics.geometric_mean(held) if len(held) == len(self.variants) else None

    @property
    def spread(self) -> float:
        """Of the variant whose throughput varied most."""
        return max((each.held.spread for each in self.variants if each.held), default=0.0)

    @property
    def p99_ms(self) -> float:
        """The least 99th percentile of the slower variant."""
        return max(each.quickest.p99_ms for each in self.variants)


def is_better(one: Trial, other: Trial) -> bool:
    """Return whether ``one`` is better than ``other`` by more than the noise of both.

    More throughput within the bound is better; keeping the bound is better than not; and where
    neither keeps it, less latency is.
    """
    if one.score is None:
        return other.score is None and one.p99_ms < other.p99_ms * (1 - LEAST_GAIN)
    if other.score is None:
        return True
    return one.score > other.score * (1 + max(LEAST_GAIN, one.spread, other.spread))
