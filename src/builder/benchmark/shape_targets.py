"""Targets r1, r2 and p3: what the smallest rectangles are worth, and what they lose."""

from __future__ import annotations

from collections.abc import Sequence

from builder.benchmark.sample import Ratio, Rounds, ratio
from builder.benchmark.targets import (
    BFLOAT16,
    BLS,
    ENSEMBLE,
    FLOAT32,
    Target,
    fastest,
    throughput,
)
from builder.settings import Shape


def shaped(variant: str, shape: Shape, precision: str = "") -> str:
    """Return the name of a variant whose frames have this shape, and maybe a precision."""
    return ", ".join(filter(None, (variant, shape.value, precision)))


def rect_targets(
    rounds: Rounds,
    lost: float | None,
    *,
    why_not: str = "",
    why_not_bfloat16: str = "",
    why_not_lost: str = "",
) -> tuple[Target, ...]:
    """Return targets r1, p3 and r2 from rounds with rectangles and whole frames, 1080p JPEGs.

    Args:
        rounds: those rounds; empty where the pipeline's frames are whole.
        lost: of mAP50-95 by rectangles; None where there were no images with labels.
        why_not: there are no rounds.
        why_not_bfloat16: there are none in bfloat16.
        why_not_lost: nothing is known of what is lost.
    """
    whole = _shaped_speed(rounds, Shape.SQUARE)
    rect = _shaped_speed(rounds, Shape.RECT)
    fast = _shaped_speed(rounds, Shape.RECT, BFLOAT16)
    return (
        Target(
            "r1",
            "throughput of the smallest rectangles over whole frames",
            1.5,
            False,
            ratio(rect, whole) if rect and whole else None,
            why_not,
        ),
        Target(
            "r2",
            "mAP50-95 lost by the smallest rectangles",
            0.005,
            True,
            None if lost is None else Ratio(lost, lost, lost, 1),
            why_not or why_not_lost,
        ),
        Target(
            "p3",
            f"throughput of the smallest rectangles in {BFLOAT16} over whole frames in {FLOAT32}",
            2.3,
            False,
            ratio(fast, whole) if fast and whole else None,
            why_not or why_not_bfloat16,
        ),
    )


def _shaped_speed(rounds: Rounds, shape: Shape, precision: str = "") -> Sequence[float]:
    """Return images a second of the faster variant; nothing where there were no such rounds."""
    names = [shaped(variant, shape, precision) for variant in (ENSEMBLE, BLS)]
    there = [name for name in names if name in rounds]
    return throughput(rounds[fastest(rounds, *there)]) if there else ()
