"""Where on a curve of load against throughput and latency to work: the sweet spot and the knee."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Fewer points have no shape.
FEWEST_POINTS = 3
# A curve that gains less than this over its whole length is flat: its best load is its first.
FLAT_GAIN = 0.05


@dataclass(frozen=True)
class CurvePoint:
    """One point.

    Attributes:
        load: batch size or requests in flight.
        images_per_s: throughput.
        latency_ms: at the percentile that is bounded.
    """

    load: int
    images_per_s: float
    latency_ms: float


def sweet_spot(points: Sequence[CurvePoint], latency_bound_ms: float) -> CurvePoint | None:
    """Return the point with the largest load whose latency keeps the bound, or None."""
    within = [point for point in points if point.latency_ms <= latency_bound_ms]
    return max(within, key=lambda point: point.load, default=None)


def knee(points: Sequence[CurvePoint]) -> CurvePoint | None:
    """Return where more load stops to pay, or None where the curve has no such point.

    As Kneedle finds it for a concave, growing curve (Satopaa, Albrecht, Irwin, Raghavan: "Finding a
    'Kneedle' in a Haystack", ICDCS Workshops 2011, section III): both axes are brought to 0..1 and
    the knee is where the curve is highest above the diagonal. Throughput is first made to grow,
    each point taking the best up to it, in place of the paper's smoothing; the load's axis is
    linear.

    None: fewer than three points, a curve that is flat (its best is within 5 % of its first), or
    one that is never above the diagonal, so that throughput still grows as fast as the load.
    """
    ordered = sorted(points, key=lambda point: point.load)
    if len(ordered) < FEWEST_POINTS:
        return None
    first, last = ordered[0], ordered[-1]
    best: list[float] = []
    for point in ordered:
        best.append(max(point.images_per_s, best[-1] if best else 0.0))
    gain = best[-1] - best[0]
    if gain <= FLAT_GAIN * best[0]:
        return None
    heights = [
        (value - best[0]) / gain - (point.load - first.load) / (last.load - first.load)
        for point, value in zip(ordered, best, strict=True)
    ]
    highest = max(heights)
    # The ends lie on the diagonal; rounding may put others a hair above it.
    return ordered[heights.index(highest)] if highest > FLAT_GAIN else None
