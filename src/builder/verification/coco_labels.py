"""Labels in COCO form: one .json with ``images``, ``annotations`` and ``categories``."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from builder.errors import VerificationError
from builder.verification.labelled import GroundTruth, LabelledImage, Objects


def read_coco(file: Path, images: Sequence[LabelledImage], labels: Sequence[str]) -> GroundTruth:
    """Read an instances file (https://cocodataset.org/#format-data).

    Images are found by their ``file_name``, without its folders where that says enough; categories
    by their name, whatever their numbers: COCO's own have gaps. Categories that the detector does
    not know are left out.

    Raises:
        VerificationError: it is no such file, lacks an image, or knows no class of the detector.
    """
    try:
        content: dict[str, Any] = json.loads(file.read_text())
        classes = {
            entry["id"]: labels.index(entry["name"])
            for entry in content["categories"]
            if entry["name"] in labels
        }
        entries: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for entry in content["images"]:
            entries[PurePosixPath(entry["file_name"]).name].append(entry)
        ids = [_image_id(image.path, entries[image.path.name]) for image in images]
        by_image: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        for entry in content["annotations"]:
            if entry["category_id"] in classes:
                by_image[entry["image_id"]].append(entry)
        if not classes:
            names = ", ".join(str(entry["name"]) for entry in content["categories"][:5])
            raise VerificationError(
                f"{file.name} has categories {names or 'none'}, the detector has "
                f"{', '.join(labels[:5])}: give labels made for this detector"
            )
        missing = [
            image.path.name for image, found in zip(images, ids, strict=True) if found is None
        ]
        if missing:
            raise VerificationError(
                f"{file.name} has no entry for {len(missing)} of {len(images)} images, for "
                f"instance {missing[0]}: name the .json of these images with --ground-truth"
            )
        objects = tuple(_objects(by_image[found], classes) for found in ids)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise VerificationError(
            f"{file.name} is not a COCO instances file ({type(error).__name__}: {error}): give "
            "--ground-truth one with images, annotations and categories"
        ) from error
    return GroundTruth(f"COCO labels of {len(images)} images", objects)


def _image_id(path: Path, entries: Sequence[dict[str, Any]]) -> Any:
    """Return the id of the entry of a file, None when there is none or it cannot be told which."""
    if len(entries) > 1:
        entries = [e for e in entries if path.absolute().as_posix().endswith(f"/{e['file_name']}")]
    return entries[0]["id"] if len(entries) == 1 else None


def _objects(entries: Sequence[dict[str, Any]], classes: dict[Any, int]) -> Objects:
    boxes = np.array([entry["bbox"] for entry in entries], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return Objects(
        boxes,
        np.array([classes[entry["category_id"]] for entry in entries], np.int64),
        np.array([bool(entry.get("iscrowd", 0)) for entry in entries], bool),
    )
