"""Labels in YOLO and in COCO form mean the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from builder.errors import VerificationError
from builder.verification.evaluation import mean_average_precision
from builder.verification.found import Found
from builder.verification.ground_truth import read_ground_truth
from builder.verification.labelled import LabelledImage

LABELS = ("cat", "dog", "bird")
# Class and x1 y1 x2 y2 in pixels of two images of 200x100.
OBJECTS = (((0, 20, 10, 60, 50), (2, 100, 0, 200, 100)), ((1, 0, 0, 50, 50),))


def images(folder: Path) -> list[LabelledImage]:
    return [LabelledImage(folder / f"{name}.jpg", 200, 100) for name in ("one", "two")]


def write_yolo(folder: Path, objects: Sequence[Sequence[tuple[int, ...]]] = OBJECTS) -> Path:
    folder.mkdir(parents=True)
    for name, each in zip(("one", "two"), objects, strict=True):
        lines = [
            f"{c} {(x1 + x2) / 400} {(y1 + y2) / 200} {(x2 - x1) / 200} {(y2 - y1) / 100}"
            for c, x1, y1, x2, y2 in each
        ]
        (folder / f"{name}.txt").write_text("\n".join(lines))
    return folder


def write_coco(file: Path, **changes: object) -> Path:
    # As in COCO itself, ids neither start at 0 nor follow the detector's order.
    ids = {0: 17, 1: 18, 2: 3}
    annotations = [
        {"id": 7 * i, "image_id": image, "category_id": ids[c], "bbox": [x1, y1, x2 - x1, y2 - y1]}
        for image, each in zip((42, 43), OBJECTS, strict=True)
        for i, (c, x1, y1, x2, y2) in enumerate(each)
    ]
    annotations.append({"id": 99, "image_id": 42, "category_id": 1, "bbox": [0, 0, 9, 9]})
    content = {
        "images": [
            {"id": 43, "file_name": "val/two.jpg"},
            {"id": 42, "file_name": "val/one.jpg"},
            {"id": 44, "file_name": "val/three.jpg"},
        ],
        "annotations": annotations,
        "categories": [
            {"id": 1, "name": "person"},
            {"id": 3, "name": "bird"},
            {"id": 17, "name": "cat"},
            {"id": 18, "name": "dog"},
        ],
        **changes,
    }
    file.write_text(json.dumps(content))
    return file


def test_both_forms_give_the_same_precision(tmp_path: Path) -> None:
    found = [
        Found(
            np.array([[22, 12, 60, 50], [0, 0, 9, 9]], np.float32),
            np.array([0.9, 0.3], np.float32),
            np.array([0, 2]),
        ),
        Found(np.array([[0, 0, 50, 40]], np.float32), np.array([0.8], np.float32), np.array([1])),
    ]
    measured = []
    for labels in (write_yolo(tmp_path / "labels"), write_coco(tmp_path / "instances.json")):
        truth = read_ground_truth(labels, images(tmp_path), LABELS)
        assert truth is not None
        measured.append(mean_average_precision(truth.objects, found, len(LABELS)))
        for objects, expected in zip(truth.objects, OBJECTS, strict=True):
            assert objects.classes.tolist() == [row[0] for row in expected]
            np.testing.assert_allclose(objects.boxes_xyxy, [row[1:] for row in expected])
    assert measured[0] == measured[1]
    assert 0 < measured[0].map50_95 < measured[0].map50 < 1


def test_yolo_files_are_found_where_ultralytics_finds_them(tmp_path: Path) -> None:
    write_yolo(tmp_path / "images" / "labels" / "val")
    pictures = images(tmp_path / "images" / "images" / "val")
    truth = read_ground_truth(None, pictures, LABELS)
    assert truth is not None
    assert [len(objects.classes) for objects in truth.objects] == [2, 1]
    assert "2 of 2" in truth.source


def test_a_relative_path_finds_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_yolo(tmp_path / "labels")
    (tmp_path / "images").mkdir()
    monkeypatch.chdir(tmp_path / "images")
    assert read_ground_truth(None, images(Path()), LABELS) is not None


def test_without_labels_there_is_no_truth(tmp_path: Path) -> None:
    assert read_ground_truth(None, images(tmp_path / "images"), LABELS) is None
    assert read_ground_truth(None, images(tmp_path), LABELS) is None


def test_an_image_without_a_file_shows_no_object(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path / "labels")
    (folder / "one.txt").unlink()
    (folder / "two.txt").write_text("\n")
    (folder / "three.txt").write_text("0 0.5 0.5 1 1")
    with_third = [*images(tmp_path), LabelledImage(tmp_path / "three.jpg", 20, 20)]
    truth = read_ground_truth(folder, with_third, LABELS)
    assert truth is not None
    assert [len(objects.classes) for objects in truth.objects] == [0, 0, 1]


def test_an_outline_counts_as_the_box_around_it(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path / "labels")
    (folder / "one.txt").write_text("1 0.1 0.5 0.3 0.2 0.2 0.8\n")
    truth = read_ground_truth(folder, images(tmp_path), LABELS)
    assert truth is not None
    np.testing.assert_allclose(truth.objects[0].boxes_xyxy, [[20, 20, 60, 80]])


def test_equal_names_in_other_folders_are_told_apart(tmp_path: Path) -> None:
    entries = [{"id": 1, "file_name": "a/one.jpg"}, {"id": 2, "file_name": "b/one.jpg"}]
    file = write_coco(
        tmp_path / "instances.json",
        images=entries,
        annotations=[{"id": 1, "image_id": 2, "category_id": 17, "bbox": [0, 0, 9, 9]}],
    )
    pictures = [LabelledImage(tmp_path / side / "one.jpg", 20, 20) for side in "ab"]
    truth = read_ground_truth(file, pictures, LABELS)
    assert truth is not None
    assert [len(objects.classes) for objects in truth.objects] == [0, 1]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("0 0.5 0.5 0.1", r"one\.txt line 2 is '0 0.5 0.5 0.1', expected"),
        ("cat 0.5 0.5 0.1 0.1", "expected"),
        ("0 0.5 nan 0.1 0.1", "expected"),
        ("0 0.1 0.1 0.2 0.2 0.3", "expected"),
        ("3 0.5 0.5 0.1 0.1", "has class 3, the detector's classes are 0 to 2"),
        ("0.5 0.5 0.5 0.1 0.1", "has class 0.5"),
    ],
)
def test_a_line_without_sense_is_refused(tmp_path: Path, line: str, complaint: str) -> None:
    folder = write_yolo(tmp_path / "labels")
    (folder / "one.txt").write_text(f"0 0.5 0.5 1 1\n{line}\n")
    with pytest.raises(VerificationError, match=complaint):
        read_ground_truth(folder, images(tmp_path), LABELS)


def test_labels_of_other_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    with pytest.raises(VerificationError, match=r"no label file for any .* no one\.txt"):
        read_ground_truth(tmp_path / "labels", images(tmp_path), LABELS)
    coco = write_coco(tmp_path / "instances.json", images=[{"id": 1, "file_name": "two.jpg"}])
    with pytest.raises(VerificationError, match=r"has no entry for 1 of 2 images, .* one\.jpg"):
        read_ground_truth(coco, images(tmp_path), LABELS)


def test_labels_of_other_classes_are_refused(tmp_path: Path) -> None:
    coco = write_coco(tmp_path / "instances.json")
    with pytest.raises(VerificationError, match=r"has categories person, bird, .* has car"):
        read_ground_truth(coco, images(tmp_path), ("car",))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"categories": [], "images": 3}', "\x00"])
def test_what_is_no_coco_file_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "instances.json"
    file.write_text(content)
    with pytest.raises(VerificationError, match=r"instances\.json is not a COCO instances file"):
        read_ground_truth(file, images(tmp_path), LABELS)


def test_labels_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match="there are no labels at"):
        read_ground_truth(tmp_path / "nowhere", images(tmp_path), LABELS)


def test_labels_that_are_no_text_are_refused(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path / "labels")
    (folder / "one.txt").write_bytes(b"\xff\xfe0")
    with pytest.raises(VerificationError, match=r"one\.txt cannot be read"):
        read_ground_truth(folder, images(tmp_path), LABELS)
