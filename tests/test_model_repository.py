"""The demo pipeline in the tree is what the builder makes of the demo detector today."""

from __future__ import annotations

from pathlib import Path

import onnx

from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from tests.conftest import ROOT

DEMO_DETECTOR = ROOT / "samples" / "code_detector" / "codes.onnx"
COMMITTED = ROOT / "model_repository"


def files_of(repository: Path) -> dict[str, Path]:
    return {
        str(path.relative_to(repository)): path
        for path in repository.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.parent != repository
    }


def test_the_committed_repository_is_what_the_builder_makes(tmp_path: Path) -> None:
    build_pipeline(DEMO_DETECTOR, tmp_path / "built", BuildSettings("codes", stream=True))
    built, committed = files_of(tmp_path / "built"), files_of(COMMITTED)
    assert sorted(committed) == sorted(built), "run `make model_repository`"
    for name, path in built.items():
        if path.suffix == ".onnx":
            # Another version of onnx may write the same graph in another order of bytes.
            assert onnx.load(committed[name]) == onnx.load(path), "run `make model_repository`"
        else:
            assert committed[name].read_bytes() == path.read_bytes(), (
                f"{name}: run `make model_repository`"
            )


def test_the_demo_detector_is_small() -> None:
    assert DEMO_DETECTOR.stat().st_size <= 6 * 2**20
