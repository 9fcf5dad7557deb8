"""What a model file is, as a table for people."""

from __future__ import annotations

from builder.detectors.inspection import DetectorFacts, Inspection, TensorFacts
from builder.settings import Shape
from builder.trial.trial_report import batch_line, trial_line

# More class names than these are only counted.
NAMES_SHOWN = 8


def inspection_lines(inspection: Inspection, name: str) -> list[str]:
    """Return a table of what a model is, for people."""
    rows = [
        ("file", f"{name}, {inspection.size_bytes / 1e6:.1f} MB as ONNX"),
        ("sha256", inspection.sha256),
        ("made by", inspection.producer or "not said"),
        (
            "opset",
            ", ".join(f"{domain} {version}" for domain, version in inspection.opsets.items()),
        ),
        *(("input", _shown(tensor)) for tensor in inspection.inputs),
        *(("output", _shown(tensor)) for tensor in inspection.outputs),
        ("weights", _shown_weights(inspection)),
    ]
    if inspection.description:
        rows.insert(2, ("described", inspection.description))
    rows += _detector_rows(inspection.detector)
    verdict = inspection.refusal or _would_build(inspection.detector)
    rows.append(("build", f"refused: {verdict}" if inspection.refusal else verdict))
    return [f"{key:<10}  {value}" for key, value in rows]


def _shown(tensor: TensorFacts) -> str:
    return f"{tensor.name} {tensor.type} [{', '.join(map(str, tensor.dims))}]"


def _shown_weights(inspection: Inspection) -> str:
    shares = (
        f"{kind.lower()} {count / inspection.parameters:.1%}"
        for kind, count in inspection.weights.items()
        if count >= inspection.parameters / 1000
    )
    return f"{inspection.parameters:,} numbers: {', '.join(shares)}"


def _detector_rows(detector: DetectorFacts | None) -> list[tuple[str, str]]:
    if detector is None:
        return []
    low, high = detector.pixel_range
    labels = ", ".join(detector.labels[:NAMES_SHOWN]) + (
        ", ..." if len(detector.labels) > NAMES_SHOWN else ""
    )
    return [
        ("head", f"{detector.head.value}: {detector.reason}"),
        ("pixels", f"{detector.channels.upper()}, {low} to {high}, placed {detector.placement}"),
        ("size", f"{detector.width}x{detector.height}"),
        ("frames", _frames(detector)),
        ("batch", _batch(detector)),
        ("boxes", f"{detector.boxes or 'a changing number'} for an image"),
        (
            "classes",
            f"{len(detector.labels)}: {labels}"
            if detector.labels_are_names
            else f"{len(detector.labels)}, without names",
        ),
        ("overlaps", _overlaps(detector)),
        *_trial_rows(detector),
    ]


def _trial_rows(detector: DetectorFacts) -> list[tuple[str, str]]:
    if detector.trial is None:
        return []
    limit = batch_line(detector.trial)
    rows = [("tried", trial_line(detector.trial, detector.defaults.conf or 0))]
    return [*rows, ("batches", limit)] if limit else rows


def _frames(detector: DetectorFacts) -> str:
    if detector.one_size:
        return f"all of one size: {detector.one_size}"
    if detector.shape == Shape.RECT.value:
        return f"the smallest rectangle for each picture, sides multiples of {detector.stride}"
    return "all of one size; --shape rect makes them the smallest rectangles"


def _batch(detector: DetectorFacts) -> str:
    if detector.batch is None:
        return "any"
    why = f": {detector.one_batch}" if detector.one_batch else ""
    return f"{detector.batch} at a time, so requests are not taken together{why}"


def _overlaps(detector: DetectorFacts) -> str:
    if detector.finished:
        return "suppressed by the model"
    defaults = detector.defaults
    return (
        f"conf {defaults.conf:g}, iou {defaults.iou:g}, at most {defaults.max_det} detections; "
        + (
            f"the model's own: {', '.join(detector.own_defaults)}"
            if detector.own_defaults
            else "none of these is the model's own"
        )
    )


def _would_build(detector: DetectorFacts | None) -> str:
    assert detector is not None  # noqa: S101 - what is not refused is a detector
    return f"makes a pipeline whose network returns {detector.candidates} candidates for an image"
