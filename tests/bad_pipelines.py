"""Pipelines that cannot be served, each for a reason of its own, beside one that can."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from tests.tiny_detector import save_tiny_detector

GOOD = "good"


def refused_network(repository: Path, name: str) -> None:
    """OpenVINO cannot read it."""
    (repository / f"{name}_network" / "1" / "model.onnx").write_bytes(b"damaged")


def raising_model(repository: Path, name: str) -> None:
    """Its import raises an exception; the network that it calls loads."""
    model = repository / f"{name}_bls" / "1" / "model.py"
    model.write_text(model.read_text() + "\nimport a_package_that_is_not_there\n")


def missing_file(repository: Path, name: str) -> None:
    (repository / f"{name}_postprocess" / "1" / "model.py").unlink()


def refused_config(repository: Path, name: str) -> None:
    """It is no ModelConfig."""
    config = repository / f"{name}_network" / "config.pbtxt"
    config.write_text(config.read_text() + "\nnonsense: 1\n")


def contradicting_config(repository: Path, name: str) -> None:
    """It can be read, and Triton refuses what it says."""
    config = repository / f"{name}_preprocess" / "config.pbtxt"
    text = config.read_text()
    assert "max_batch_size: " in text
    config.write_text(re.sub(r"max_batch_size: \d+", "max_batch_size: -1", text))


BAD: dict[str, Callable[[Path, str], None]] = {
    "config": refused_config,
    "contradicting": contradicting_config,
    "file": missing_file,
    "network": refused_network,
    "raising": raising_model,
}
# What is said of each.
REASONS = {
    "config": "config_network has no valid config.pbtxt",
    "contradicting": "'max_batch_size' must be non-negative value",
    "file": "file_postprocess lacks 1/model.py",
    "network": "model network_network did not load: ",
    "raising": "No module named 'a_package_that_is_not_there'",
}


def build_good(folder: Path, *names: str) -> Path:
    """A repository of pipelines that can all be served."""
    model = save_tiny_detector(folder / "tiny.onnx")
    for name in (GOOD, *names):
        build_pipeline(model, folder / "repository", BuildSettings(name, conf=0.5))
    return folder / "repository"


def spoil(repository: Path, *names: str) -> None:
    """Make pipelines unservable, each in the way that its name says."""
    for name in names:
        BAD[name](repository, name)


def mend(repository: Path, good: Path, name: str) -> None:
    """Bring a pipeline's models back from a repository in which they are whole."""
    for model in repository.glob(f"{name}_*"):
        shutil.copytree(good / model.name, model, dirs_exist_ok=True)
