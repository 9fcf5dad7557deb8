from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from builder.benchmark.real_network import RawHead, raw_head, takes_rectangles
from tests.conftest import ROOT
from tests.tiny_detector import save_tiny_detector, tiny_detector

CODES = ROOT / "samples" / "code_detector" / "codes.onnx"


def saved(folder: Path, model: onnx.ModelProto) -> Path:
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def test_a_yolov8_head_of_a_square_network_is_what_usual_clients_read() -> None:
    assert raw_head(CODES, 4) == RawHead(CODES, 640, 8, 8400)


@pytest.mark.parametrize(
    ("changes", "classes"),
    [({"width": 128}, 3), ({"dynamic_size": True}, 3), ({}, 4)],
    ids=["not square", "open sizes", "other classes"],
)
def test_other_networks_are_none_for_them(
    tmp_path: Path, changes: dict[str, object], classes: int
) -> None:
    file = saved(tmp_path, tiny_detector(**changes))  # type: ignore[arg-type]
    assert raw_head(file, classes) is None


def test_rectangles_go_into_checkpoints_and_open_sizes(tmp_path: Path) -> None:
    assert takes_rectangles(Path("some.pt"))
    assert not takes_rectangles(CODES)
    assert not takes_rectangles(save_tiny_detector(tmp_path / "tiny.onnx"))
    assert takes_rectangles(saved(tmp_path, tiny_detector(dynamic_size=True)))
