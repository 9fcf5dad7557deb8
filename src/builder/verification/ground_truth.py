"""Labelled objects of a set of images, wherever their labels lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from builder.errors import VerificationError
from builder.verification.coco_labels import read_coco
from builder.verification.labelled import GroundTruth, LabelledImage
from builder.verification.yolo_labels import read_yolo


def check_ground_truth(path: Path | None) -> None:
    """Check that there is something to read, before anything takes its time.

    Raises:
        VerificationError: ``path`` is neither a file nor a folder.
    """
    if path is not None and not path.exists():
        raise VerificationError(
            f"there are no labels at {path}: give --ground-truth a folder of YOLO .txt files or a "
            "COCO .json"
        )


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
    check_ground_truth(path)
    if path is not None and path.is_file():
        return read_coco(path, images, labels)
    return read_yolo(path, images, len(labels))
