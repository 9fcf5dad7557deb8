"""A checkpoint is a pickle, whose code runs when it is loaded: not without being told to."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from builder.cli import main as framewire
from builder.detectors.source_model import onnx_of
from builder.errors import ModelFileError
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from tests.tiny_detector import save_tiny_detector


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.file,)


@pytest.fixture
def hostile(tmp_path: Path) -> tuple[Path, Path]:
    """A checkpoint, and the file that its code makes."""
    checkpoint, trace = tmp_path / "yolo11n.pt", tmp_path / "it_ran"
    checkpoint.write_bytes(pickle.dumps(Touch(trace)))
    return checkpoint, trace


@pytest.mark.parametrize("command", ["build", "inspect", "verify"])
def test_no_command_loads_a_checkpoint_unasked(
    command: str, hostile: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint, trace = hostile
    repository = tmp_path / "r"
    build_pipeline(
        save_tiny_detector(tmp_path / "t.onnx"),
        repository,
        BuildSettings("tiny"),
        source=checkpoint,
    )
    image = tmp_path / "a.jpg"
    image.touch()
    options = {
        "build": ["--name", "x", "--repository", str(repository)],
        "inspect": [],
        "verify": [str(image), "--repository", str(repository)],
    }
    assert framewire([command, str(checkpoint), *options[command]]) == 1
    said = capsys.readouterr().err
    assert "--trust-pickle" in said
    assert "yolo11n.pt" in said
    assert said.count("\n") == 1
    assert not trace.exists()


def test_told_to_it_is_loaded(hostile: tuple[Path, Path]) -> None:
    checkpoint, trace = hostile
    # It is no detector; that its code ran is what the option is a warning of.
    with (
        pytest.raises(ModelFileError, match="no checkpoint that ultralytics can load"),
        onnx_of(str(checkpoint), trust_pickle=True),
    ):
        pass
    assert trace.exists()


def test_a_suffix_in_capitals_is_a_checkpoint_too(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="--trust-pickle"), onnx_of(str(tmp_path / "a.PT")):
        pass


def test_a_pickle_that_calls_itself_onnx_is_not_unpickled(
    hostile: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint, trace = hostile
    renamed = checkpoint.rename(tmp_path / "yolo11n.onnx")
    assert framewire(["inspect", str(renamed)]) == 1
    assert not trace.exists()
