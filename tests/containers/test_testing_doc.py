"""What docs/testing.md shows is run as it stands there."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from builder.testing import FramewireContainer
from tests import images
from tests.conftest import ROOT
from tests.containers.conftest import Image
from tests.tiny_detector import coloured_square, save_tiny_detector, tiny_detector

pytestmark = pytest.mark.containers

DOCUMENT = (ROOT / "docs" / "testing.md").read_text()
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
FIRST_COLUMN = re.compile(r"^\| (`.*?) \| ", re.MULTILINE)


@pytest.mark.parametrize("image", ["cpu"], indirect=True)
def test_the_example_passes(image: Image, tmp_path: Path) -> None:
    names = {"names": str({0: "car", 1: "bus", 2: "van"})}
    model = save_tiny_detector(tmp_path / "street.onnx", tiny_detector(metadata=names))
    build_pipeline(model, tmp_path / "my_models", BuildSettings("street"))
    (tmp_path / "street.jpg").write_bytes(images.encoded(coloured_square("red")))
    (tmp_path / "test_street.py").write_text(EXAMPLE)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_street.py"],
        cwd=tmp_path,
        env={**os.environ, "FRAMEWIRE_CPU_IMAGE": image.name},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_every_argument_and_attribute_is_in_the_document() -> None:
    told = set(re.findall(r"\w+", " ".join(FIRST_COLUMN.findall(DOCUMENT))))
    arguments = set(inspect.signature(FramewireContainer).parameters) - {"docker_options"}
    own = {name for name in vars(FramewireContainer) if not name.startswith("_")} - {"start"}
    assert arguments | own <= told
