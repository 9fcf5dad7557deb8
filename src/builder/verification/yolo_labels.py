"""Labels in YOLO form: a .txt beside or for each image, a line for each object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from builder.errors import VerificationError
from builder.verification.labelled import GroundTruth, LabelledImage, Objects


def read_yolo(
    folder: Path | None, images: Sequence[LabelledImage], num_classes: int
) -> GroundTruth | None:
    """Read ``class x y width height`` lines, all four as shares of the image.

    A longer line is an outline, ``class x1 y1 x2 y2 ...``, and counts as the box around it. An
    image without a file, or with an empty one, holds no object, as ultralytics has it.

    Args:
        folder: of the files, which are named as the images are; None for the folder that
            ultralytics would look into.
        images: whose labels to read.
        num_classes: of the detector.

    Returns:
        None when ``folder`` is None and no image has a file.

    Raises:
        VerificationError: no image has a file in ``folder``, or a line makes no sense.
    """
    files = [_label_file(image.path, folder) for image in images]
    found = sum(file is not None and file.is_file() for file in files)
    if not found:
        if folder is None:
            return None
        raise VerificationError(
            f"{folder} has no label file for any of the {len(images)} images, for instance no "
            f"{images[0].path.stem}.txt: name the right folder with --ground-truth"
        )
    objects = tuple(
        _read_file(file, image, num_classes) for file, image in zip(files, images, strict=True)
    )
    return GroundTruth(f"YOLO labels of {found} of {len(images)} images", objects)


def _label_file(image: Path, folder: Path | None) -> Path | None:
    if folder is not None:
        return folder / f"{image.stem}.txt"
    parts = list(image.absolute().parts)
    if "images" not in parts[:-1]:
        return None
    last = len(parts) - 2 - parts[-2::-1].index("images")
    parts[last] = "labels"
    return Path(*parts).with_suffix(".txt")


def _read_file(file: Path | None, image: LabelledImage, num_classes: int) -> Objects:
    boxes: list[list[float]] = []
    classes: list[int] = []
    if file is not None and file.is_file():
        try:
            lines = file.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise VerificationError(
                f"the labels {file.name} cannot be read ({error}): check the file"
            ) from error
        for number, line in enumerate(lines, 1):
            if line.strip():
                class_index, box = _read_line(f"{file.name} line {number}", line, num_classes)
                classes.append(class_index)
                boxes.append(box)
    size = np.array([image.width, image.height, image.width, image.height], np.float64)
    return Objects(
        np.array(boxes, np.float64).reshape(-1, 4) * size,
        np.array(classes, np.int64),
        np.zeros(len(classes), bool),
    )


def _read_line(where: str, line: str, num_classes: int) -> tuple[int, list[float]]:
    """Return the class and x1 y1 x2 y2 as shares of the image."""
    try:
        class_index, *values = [float(word) for word in line.split()]
    except ValueError:
        values = []
        class_index = -1.0
    if len(values) < 4 or len(values) % 2 or not np.isfinite(values).all():
        raise VerificationError(
            f"{where} is {line.strip()[:60]!r}, expected `class x y width height` as shares of the "
            "image: mend it"
        )
    if class_index != int(class_index) or not 0 <= class_index < num_classes:
        raise VerificationError(
            f"{where} has class {class_index:g}, the detector's classes are 0 to "
            f"{num_classes - 1}: give labels made for this detector"
        )
    if len(values) == 4:
        x, y, width, height = values
        return int(class_index), [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    return int(class_index), [
        min(values[::2]),
        min(values[1::2]),
        max(values[::2]),
        max(values[1::2]),
    ]
