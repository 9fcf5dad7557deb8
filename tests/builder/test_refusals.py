"""What is wrong with a model file is said in one sentence, and nothing is built."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from builder.cli import main
from tests.tiny_detector import save_tiny_detector, tiny_detector


def no_onnx(folder: Path) -> list[str]:
    (folder / "model.onnx").write_bytes(b"PK\x03\x04 something else")
    return []


def truncated(folder: Path) -> list[str]:
    whole = save_tiny_detector(folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(whole[: len(whole) // 2])
    return []


def empty(folder: Path) -> list[str]:
    (folder / "model.onnx").touch()
    return []


def external_weights_missing(folder: Path) -> list[str]:
    path = folder / "model.onnx"
    onnx.save(tiny_detector(), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    (folder / "w.bin").unlink()
    return []


def no_labels(folder: Path) -> list[str]:
    save_tiny_detector(folder / "model.onnx", tiny_detector(metadata={}))
    return []


def wrong_label_count(folder: Path) -> list[str]:
    save_tiny_detector(folder / "model.onnx")
    (folder / "names.txt").write_text("red\ngreen\n")
    return ["--labels", str(folder / "names.txt")]


def labels_missing(folder: Path) -> list[str]:
    save_tiny_detector(folder / "model.onnx")
    return ["--labels", str(folder / "names.txt")]


def unknown_head(folder: Path) -> list[str]:
    model = tiny_detector()
    output = helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["batch", 1000])
    model.graph.output[0].CopyFrom(output)
    save_tiny_detector(folder / "model.onnx", model)
    return []


def head_that_does_not_fit(folder: Path) -> list[str]:
    save_tiny_detector(folder / "model.onnx")
    return ["--head", "end2end"]


def old_opset(folder: Path) -> list[str]:
    save_tiny_detector(folder / "model.onnx", tiny_detector(opset=10))
    return []


def size_off_the_stride(folder: Path) -> list[str]:
    save_tiny_detector(folder / "model.onnx", tiny_detector(dynamic_size=True))
    return ["--size", "100x64"]


def size_that_is_fixed(folder: Path) -> list[str]:
    save_tiny_detector(folder / "model.onnx")
    return ["--size", "128"]


def another_task(folder: Path) -> list[str]:
    save_tiny_detector(folder / "model.onnx", tiny_detector(metadata={"task": "pose"}))
    return []


def missing(folder: Path) -> list[str]:
    return []


REFUSALS: list[tuple[Callable[[Path], list[str]], str, str, str]] = [
    # What is wrong, what is found, what is expected, what mends it.
    (no_onnx, "model.onnx", "ONNX", "export"),
    (truncated, "model.onnx", "ONNX", "copy it again"),
    (empty, "model.onnx", "ONNX", "export"),
    (external_weights_missing, "w.bin", "beside", "copy both"),
    (no_labels, "no class names", "3 classes", "--labels FILE"),
    (wrong_label_count, "names 2", "3 classes", "--labels FILE"),
    (labels_missing, "names.txt", "class names", "--labels"),
    (unknown_head, "output0 [?, 1000]", "yolov8: [N, 4 + classes, anchors]", "--head"),
    (head_that_does_not_fit, "output0 [?, 7, 84]", "end2end: [N, rows, 6]", "--head"),
    (old_opset, "opset 10", "11 to", "opset=17"),
    (size_off_the_stride, "100x64", "multiples of its stride 32", "--size"),
    (size_that_is_fixed, "128x128", "64x64 only", "--size"),
    (another_task, "'pose'", "detectors", "export"),
    (missing, "no model file", "model.onnx", "check the path"),
]


@pytest.mark.parametrize(
    ("prepare", "found", "expected", "fix"), REFUSALS, ids=[row[0].__name__ for row in REFUSALS]
)
def test_a_model_file_is_refused_in_one_sentence(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    prepare: Callable[[Path], list[str]],
    found: str,
    expected: str,
    fix: str,
) -> None:
    options = prepare(tmp_path)
    repository = tmp_path / "repository"
    command = ["build", str(tmp_path / "model.onnx"), "--name", "refused"]
    assert main([*command, "--repository", str(repository), *options]) == 1
    captured = capsys.readouterr()
    (sentence,) = captured.err.splitlines()
    assert sentence.startswith("framewire: ")
    for part in (found, expected, fix):
        assert part in sentence, sentence
    assert not captured.out
    assert not repository.exists()
