"""A verification in words, and as JSON types."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from builder.errors import AccuracyLostError, VerificationError
from builder.verification.comparison import Verification
from builder.verification.found import Thresholds


def report_lines(verification: Verification) -> Iterator[str]:
    """Yield the lines that a person reads."""
    manifest = verification.manifest
    yield (
        f"{manifest.name} version {manifest.version} against {manifest.source}: {manifest.head} "
        f"head, {manifest.width}x{manifest.height}, {manifest.precision.value}, "
        f"{verification.images} images"
    )
    yield f"at its own thresholds ({_thresholds(verification.thresholds)}):"
    yield (
        f"  {'':<10}{'matched':>9}{'missing':>9}{'extra':>9}{'worst box':>12}{'worst score':>13}"
        f"{'best unmatched':>16}"
    )
    for route in verification.routes:
        found = route.agreement
        unmatched = f"{found.unmatched_score:.3f}" if found.missing or found.extra else "-"
        yield (
            f"  {route.route:<10}{found.matched:>9}{found.missing:>9}{found.extra:>9}"
            f"{found.box_px:>9.3f} px{found.score:>13.5f}{unmatched:>16}"
        )
        if found.refused:
            yield f"  {route.route} refused {found.refused} images that the reference reads"
    yield f"precision ({_thresholds(verification.evaluated)}; labels: {verification.labels}):"
    yield f"  {'':<10}{'mAP50':>9}{'mAP50-95':>11}{'lost':>10}"
    best = verification.reference
    yield f"  {'reference':<10}{best.map50:>9.4f}{best.map50_95:>11.4f}"
    for route in verification.routes:
        mine = route.precision
        yield (
            f"  {route.route:<10}{mine.map50:>9.4f}{mine.map50_95:>11.4f}"
            f"{verification.map_drop(route):>10.4f}"
        )


def report_json(verification: Verification) -> dict[str, Any]:
    """Return the same as JSON types, with ``matched_share`` and ``map_drop`` of each route."""
    content = asdict(verification)
    for entry, route in zip(content["routes"], verification.routes, strict=True):
        entry["agreement"]["matched_share"] = route.agreement.matched_share
        entry["map_drop"] = verification.map_drop(route)
    return content


def check_max_map_drop(max_map_drop: float) -> None:
    """Check that a loss can be compared with it.

    Raises:
        VerificationError: it is not from 0 to 1.
    """
    if not 0 <= max_map_drop <= 1:
        raise VerificationError(
            f"--max-map-drop must be from 0 to 1, got {max_map_drop:g}: give half a point as 0.005"
        )


def refuse_loss(verification: Verification, max_map_drop: float) -> None:
    """Do nothing while a pipeline loses no more than ``max_map_drop`` of either mAP.

    Raises:
        AccuracyLostError: it loses more.
    """
    lost = verification.worst_drop
    if lost > max_map_drop:
        best = verification.reference
        worst = max(verification.routes, key=verification.map_drop)
        raise AccuracyLostError(
            f"{verification.manifest.name} loses {lost:.4f} mAP against "
            f"{verification.manifest.source}, allowed are {max_map_drop:g} (mAP50 "
            f"{best.map50:.4f} to {worst.precision.map50:.4f}, mAP50-95 {best.map50_95:.4f} to "
            f"{worst.precision.map50_95:.4f}, {worst.route}): build it with other options, or "
            "allow more with --max-map-drop"
        )


def _thresholds(thresholds: Thresholds) -> str:
    words = [
        f"conf {thresholds.conf:g}",
        f"iou {thresholds.iou:g}",
        f"at most {thresholds.max_det} boxes",
    ]
    if thresholds.class_agnostic:
        words.append("class-agnostic")
    if thresholds.multi_label:
        words.append("multi-label")
    return ", ".join(words)
