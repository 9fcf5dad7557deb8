"""Mean average precision by pycocotools, the evaluator of the COCO challenges."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from builder.errors import VerificationError
from builder.verification.found import Found
from builder.verification.labelled import Objects
from builder.verification.optional import needed

# Most detections of an image that count: as in ultralytics' ``val``, where COCO's own is 100.
MOST_DETECTIONS = 300
# Scores from here on, as in ``val``.
LOWEST_SCORE = 0.001


@dataclass(frozen=True)
class Precision:
    """Average precision, the mean of the classes, 0 to 1.

    Attributes:
        map50: a detection is right when it overlaps its object by 0.5.
        map50_95: the mean over 0.5, 0.55, ... 0.95.
    """

    map50: float
    map50_95: float


def mean_average_precision(
    truth: Sequence[Objects], found: Sequence[Found], num_classes: int
) -> Precision:
    """Return the precision of what was found.

    Args:
        truth: of each image.
        found: in each image, scores from :data:`LOWEST_SCORE` on.
        num_classes: of the detector; one that no image shows does not count.

    Raises:
        VerificationError: pycocotools is not installed, or there is no labelled object at all.
    """
    if not any((~objects.crowd).any() for objects in truth):
        raise VerificationError(
            "there is nothing to find in these images, neither by their labels nor, where there "
            "are none, by the detector itself, so there is no precision to measure: add images "
            "that show what it finds"
        )
    annotations = [entry for index, each in enumerate(truth) for entry in _objects(index, each)]
    for number, entry in enumerate(annotations, 1):
        entry["id"] = number  # 0 would mean "no match"
    labelled = needed("pycocotools.coco").COCO()
    labelled.dataset = {
        "info": {},
        "images": [{"id": index} for index in range(len(truth))],
        "categories": [{"id": index} for index in range(num_classes)],
        "annotations": annotations,
    }
    rows = np.concatenate([_rows(index, each) for index, each in enumerate(found)])
    if not len(rows):
        return Precision(0.0, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):  # it reports its progress
        labelled.createIndex()
        results = labelled.loadRes(rows)
        evaluated = needed("pycocotools.cocoeval").COCOeval(labelled, results, "bbox")
        evaluated.params.maxDets = [MOST_DETECTIONS]
        evaluated.params.areaRng = evaluated.params.areaRng[:1]
        evaluated.params.areaRngLbl = evaluated.params.areaRngLbl[:1]
        evaluated.evaluate()
        evaluated.accumulate()
    # [overlaps, recalls, classes, areas, limits]; -1 where a class has no object.
    precision = evaluated.eval["precision"][..., 0, 0]
    return Precision(map50=_mean(precision[:1]), map50_95=_mean(precision))


def _mean(precision: Any) -> float:
    return float(np.mean(precision[precision > -1]))


def _objects(image: int, objects: Objects) -> list[dict[str, Any]]:
    return [
        {
            "image_id": image,
            "category_id": int(class_index),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "iscrowd": int(crowd),
        }
        for (x1, y1, x2, y2), class_index, crowd in zip(
            objects.boxes_xyxy.tolist(), objects.classes, objects.crowd, strict=True
        )
    ]


def _rows(image: int, found: Found) -> Any:
    """Return float64 ``[n, 7]``: image, x, y, width, height, score, class."""
    boxes = found.boxes_xyxy.astype(np.float64)
    return np.column_stack(
        [
            np.full(len(found), image),
            boxes[:, :2],
            boxes[:, 2:] - boxes[:, :2],
            found.scores,
            found.classes,
        ]
    )
