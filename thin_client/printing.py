"""Results as lines of text and as JSON lines."""

from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction
from typing import Any

from thin_client.detections import Detections
from thin_client.dummy import LatencySummary
from thin_client.server_report import ModelStatistics, ServerReport

__all__ = [
    "aspect_record",
    "counts_text",
    "detections_text",
    "json_line",
    "latency_text",
    "report_text",
]


def json_line(record: dict[str, Any]) -> str:
    """Return a record as one line of JSON, ASCII only so that every terminal and pipe takes it."""
    return json.dumps(record)


def aspect_record(sample_aspect_ratio: Fraction) -> dict[str, str]:
    """Return width to height of a frame's pixels as JSON types; nothing where they are square."""
    ratio = sample_aspect_ratio
    if ratio == 1:
        return {}
    return {"sample_aspect_ratio": f"{ratio.numerator}:{ratio.denominator}"}


def detections_text(name: str, detections: Detections) -> str:
    """Return a heading and a row for each detection: label, score, x1 y1 x2 y2."""
    found = len(detections)
    noun = "detection" if found == 1 else "detections"
    damaged = "  damaged" if detections.damaged else ""
    lines = [f"{name}  {detections.width}x{detections.height}{damaged}  {found} {noun}"]
    label_width = max((len(detection.label) for detection in detections), default=0)
    for detection in detections:
        box = "".join(f"{edge:9.1f}" for edge in detection.box_xyxy)
        lines.append(f"  {detection.label:<{label_width}}  {detection.score:.3f}{box}")
    return "\n".join(lines)


def counts_text(counts: Counter[str]) -> str:
    """Return how often each label was found, the most frequent first: ``2 person, 1 dog``."""
    return ", ".join(f"{count} {label}" for label, count in counts.most_common()) or "nothing"


def latency_text(summary: LatencySummary) -> str:
    """Return what ``framewire-client dummy`` says at the end."""
    return (
        f"{summary.images} images, {summary.images_per_s:.1f} images/s\n"
        f"latency ms: mean {summary.mean_ms:.2f}, p50 {summary.p50_ms:.2f},"
        f" p90 {summary.p90_ms:.2f}, p99 {summary.p99_ms:.2f}, max {summary.max_ms:.2f}"
    )


def report_text(report: ServerReport) -> str:
    """Return what ``framewire-client info`` says."""
    pipeline = report.pipeline
    facts = {
        "server": f"{report.server} {report.server_version}",
        "model": f"{pipeline.model}, version {pipeline.version or 'unknown'}",
        "head": pipeline.head,
        "input": f"{pipeline.input_width}x{pipeline.input_height}",
        "conf": f"{pipeline.conf:g}",
        "iou": f"{pipeline.iou:g}",
        "max_det": str(pipeline.max_det),
        "class_agnostic": "yes" if pipeline.class_agnostic else "no",
        "batch": f"up to {pipeline.max_batch_size} images a request",
        "built by": f"framewire {pipeline.builder_version}",
        "labels": f"{len(pipeline.labels)}: {', '.join(pipeline.labels)}",
    }
    lines = [f"{name:<15}{value}" for name, value in facts.items()]
    lines += ["", f"{'model':<28}{'images':>9}{'batches':>9}{'failed':>8}{'ms':>9}{'queue ms':>10}"]
    lines += [_statistics_row(statistics) for statistics in report.statistics]
    return "\n".join(lines)


def _statistics_row(statistics: ModelStatistics) -> str:
    counts = f"{statistics.images:>9}{statistics.executions:>9}{statistics.failures:>8}"
    times = f"{_ms(statistics.latency_ms):>9}{_ms(statistics.queue_ms):>10}"
    return f"{statistics.model:<28}{counts}{times}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
