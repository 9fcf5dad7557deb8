from __future__ import annotations

import json
from dataclasses import replace

import pytest

from builder.errors import AccuracyLostError, VerificationError
from builder.pipelines.manifest import Manifest
from builder.settings import Nms, Precision, Runtime
from builder.verification.comparison import RouteResult, Verification
from builder.verification.evaluation import Precision as MeanPrecision
from builder.verification.found import Thresholds
from builder.verification.matching import Agreement
from builder.verification.report import (
    check_max_map_drop,
    refuse_loss,
    report_json,
    report_lines,
)

MANIFEST = Manifest(
    name="street",
    version=3,
    builder_version="1",
    source="street.onnx",
    source_sha256="0" * 64,
    head="yolov8",
    width=640,
    height=384,
    candidates=1000,
    max_batch=16,
    precision=Precision.FP16,
    runtime=Runtime.PYTHON,
    nms=Nms.PYTHON,
    conf=0.25,
    iou=0.7,
    max_det=300,
    class_agnostic=False,
    multi_label=True,
    num_classes=3,
)
AGREED = Agreement(
    images=40, refused=0, matched=97, missing=2, extra=1, box_px=1.25, score=0.015,
    unmatched_score=0.27,
)  # fmt: skip


def result(*precisions: tuple[float, float]) -> Verification:
    routes = ("ensemble", "bls")
    return Verification(
        manifest=MANIFEST,
        images=40,
        labels="COCO labels of 40 images",
        thresholds=Thresholds(0.25, 0.7, 300, multi_label=True),
        evaluated=Thresholds(0.001, 0.7, 300, multi_label=True),
        reference=MeanPrecision(0.9, 0.7),
        routes=tuple(
            RouteResult(route, AGREED, MeanPrecision(*precision))
            for route, precision in zip(routes, precisions, strict=False)
        ),
    )


def test_the_report_says_what_was_compared_with_what() -> None:
    text = "\n".join(report_lines(result((0.9, 0.695))))
    assert "street version 3 against street.onnx: yolov8 head, 640x384, fp16, 40 images" in text
    assert "conf 0.25, iou 0.7, at most 300 boxes, multi-label" in text
    assert "conf 0.001" in text
    assert "COCO labels of 40 images" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["ensemble", "97", "2", "1", "1.250", "px", "0.01500", "0.270"] in rows
    assert ["reference", "0.9000", "0.7000"] in rows
    assert ["ensemble", "0.9000", "0.6950", "0.0050"] in rows


def test_the_json_has_the_same_figures() -> None:
    content = json.loads(json.dumps(report_json(result((0.9, 0.695), (0.8, 0.7)))))
    ensemble, bls = content["routes"]
    assert ensemble["agreement"]["matched_share"] == 0.97
    assert ensemble["map_drop"] == pytest.approx(0.005)
    assert bls["map_drop"] == pytest.approx(0.1)
    assert content["manifest"]["precision"] == "fp16"


def test_refused_images_are_mentioned() -> None:
    one = result((0.9, 0.7))
    refused = replace(one.routes[0], agreement=replace(AGREED, refused=2))
    lines = list(report_lines(replace(one, routes=(refused,))))
    assert "  ensemble refused 2 images that the reference reads" in lines


@pytest.mark.parametrize(
    ("precisions", "lost"),
    [
        (((0.9, 0.7),), 0.0),
        (((0.95, 0.75),), -0.05),
        (((0.9, 0.69),), 0.01),
        (((0.87, 0.7),), 0.03),
        (((0.9, 0.7), (0.9, 0.6)), 0.1),
    ],
    ids=["equal", "better", "less mAP50-95", "less mAP50", "the other route less"],
)
def test_the_worst_of_both_precisions_and_both_routes_counts(
    precisions: tuple[tuple[float, float], ...], lost: float
) -> None:
    verification = result(*precisions)
    assert verification.worst_drop == pytest.approx(lost)
    refuse_loss(verification, max(lost, 0) + 1e-9)
    if lost > 0:
        with pytest.raises(AccuracyLostError, match=f"street loses {lost:.4f} mAP") as caught:
            refuse_loss(verification, lost - 1e-9)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_what_may_be_lost_is_a_share(value: float) -> None:
    with pytest.raises(VerificationError, match="must be from 0 to 1"):
        check_max_map_drop(value)
