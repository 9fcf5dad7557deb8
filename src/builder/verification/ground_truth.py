"""Labelled objects of a set of images, wherever their labels lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from builder.errors import VerificationError
from builder.verification.coco_labels import read_coco
from builder.verification.labelled import GroundTruth, LabelledImage
from builder.verification.yolo_labels import read_yolo


def read_ground_truth(
    path: Path | None, images: Sequence[LabelledImage], labels: Sequence[str]
) -> GroundTruth | None:
    """Read the labels of ``images``.

    Args:
        path: a folder of YOLO .txt files, a COCO instances .json, or None to look for YOLO files
            where ultralytics does: ``labels`` in place of the last ``images`` of the path.
        images: in the order in which they are evaluated.
        labels: class names of the detector, in class order.

    Returns:
        None when ``path`` is None and no image has labels.

    Raises:
        VerificationError: the labels cannot be read or do not go with the images or the classes.
    """
    if path is not None and path.is_file():
        return read_coco(path, images, labels)
    if path is not None and not path.is_dir():
        raise VerificationError(
            f"there are no labels at {path}: give --ground-truth a folder of YOLO .txt files or a "
            "COCO .json"
        )
    return read_yolo(path, images, len(labels))
