"""What ``framewire verify`` refuses before it starts a server."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.cli import main
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from tests.images import encoded
from tests.tiny_detector import coloured_square, save_tiny_detector

Refused = Callable[..., str]


@pytest.fixture
def refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Refused:
    """Verify a pipeline with options and return the one sentence it is refused in."""
    monkeypatch.chdir(tmp_path)
    model = save_tiny_detector(Path("tiny.onnx"))
    build_pipeline(model, Path("repository"), BuildSettings("tiny"))
    Path("red.png").write_bytes(encoded(coloured_square("red"), ".png"))

    def verify(*options: str, images: tuple[str, ...] = ("red.png",)) -> str:
        arguments = ["verify", "tiny.onnx", *images, "--repository", "repository", *options]
        assert main(arguments) == 1
        output = capsys.readouterr()
        assert output.out == ""
        (line,) = output.err.splitlines()
        assert str(tmp_path) not in line
        return line

    return verify


def test_an_image_that_is_not_there(refused: Refused) -> None:
    assert "there is no image blue.png" in refused(images=("red.png", "blue.png"))


def test_a_folder_without_images(refused: Refused) -> None:
    Path("empty").mkdir()
    assert "the folder empty holds no images" in refused(images=("empty",))


def test_a_pattern_that_matches_nothing(refused: Refused) -> None:
    assert "there is no image *.jpg" in refused(images=("*.jpg",))


def test_an_unknown_pipeline(refused: Refused) -> None:
    assert "has no pipeline street, its pipelines are: tiny" in refused("--name", "street")


def test_a_choice_between_pipelines(refused: Refused) -> None:
    build_pipeline(Path("tiny.onnx"), Path("repository"), BuildSettings("other"))
    assert "repository has 2 pipelines (other, tiny): choose one with --name" in refused()


def test_labels_that_are_not_there(refused: Refused) -> None:
    assert "there are no labels at gone" in refused("--ground-truth", "gone")


def test_a_loss_beyond_everything(refused: Refused) -> None:
    assert "--max-map-drop must be from 0 to 1, got 50" in refused("--max-map-drop", "50")


def test_a_server_that_is_not_there(refused: Refused) -> None:
    line = refused("--url", "127.0.0.1:9")
    assert "the pipeline could not be asked" in line
    assert "127.0.0.1:9" in line


def test_a_missing_package(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_pycocotools(name: str) -> object:
        if name.startswith("pycocotools"):
            raise ModuleNotFoundError("No module named 'pycocotools'")
        return imported(name)

    imported = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", without_pycocotools)
    assert "pip install -e '.[verify]'" in refused()
