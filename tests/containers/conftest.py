"""The images under test, and repositories for them that load in a moment."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper

from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings, Runtime
from builder.testing import FramewireContainer
from builder.testing.default_image import default_image
from tests.conftest import ROOT
from tests.containers.requirements import Requirement, gpu_is_missing, image_is_missing, missing
from tests.tiny_detector import save_tiny_detector, tiny_detector

# Ryuk removes what a killed test run leaves, but is one more image from a registry.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
# By process, as one process's tests run beside those of another.
LABELS = {"framewire.tests": str(os.getpid())}
DEMO_DETECTOR = ROOT / "samples" / "code_detector" / "codes.onnx"

StartContainer = Callable[..., FramewireContainer]


@dataclass(frozen=True)
class Image:
    """An image under test.

    Attributes:
        name: as Docker knows it.
        gpu: whether its containers get the GPUs.
        runtime: of the networks it serves. A plan is no choice for all of them: a container copies
            a repository that it cannot write and sees no new versions in the original.
        demo: runtime of the demo pipeline; None where the image holds one.
        make: target that makes it.
    """

    name: str
    gpu: bool
    runtime: Runtime
    demo: Runtime | None
    make: str


IMAGES = {
    "cpu": Image(
        default_image(gpu=False),
        gpu=False,
        runtime=Runtime.PYTHON,
        demo=None,
        make="image",
    ),
    "gpu": Image(
        default_image(gpu=True),
        gpu=True,
        runtime=Runtime.ONNXRUNTIME,
        demo=Runtime.TENSORRT,
        make="image-gpu",
    ),
}


@pytest.fixture(scope="session", params=["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def image(request: pytest.FixtureRequest) -> Image:
    """Each image that can run here; the tests of one that cannot are skipped, or fail in CI."""
    chosen = IMAGES[request.param]
    if chosen.gpu:
        missing(gpu_is_missing(), Requirement.GPU)
    missing(image_is_missing(chosen.name, chosen.make), Requirement.DOCKER)
    return chosen


@pytest.fixture
def start(image: Image) -> Iterator[StartContainer]:
    """Start containers of the image: ``start(repository=...)``; they are removed after the test."""
    with ExitStack() as stack:

        def started(**options: Any) -> FramewireContainer:
            container = stack.enter_context(container_of(image, **options))
            # Pytest shows it where the test fails.
            stack.callback(_print_logs, container)
            return container

        yield started


def _print_logs(container: FramewireContainer) -> None:
    with suppress(Exception):  # some tests have removed theirs
        print(container.logs)


def container_of(image: Image, **options: Any) -> FramewireContainer:
    """A container that is not started yet."""
    return FramewireContainer(image.name, gpu=image.gpu, **{"labels": LABELS, **options})


@pytest.fixture(scope="session")
def tiny_repository(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the pipeline ``tiny``; not to be changed."""
    repository = tmp_path_factory.mktemp("tiny") / "repository"
    build_tiny(repository, image)
    return repository


def build_tiny(repository: Path, image: Image, shift: int = 0) -> int:
    """Build a version of the pipeline ``tiny`` and return its number.

    Args:
        repository: to build into.
        image: that is to serve it.
        shift: of every box to the right, in pixels. The sizes stay, so that every runtime can load
            this version beside another one.
    """
    model = tiny_detector()
    (boxes,) = (each for each in model.graph.initializer if each.name == "boxes")
    moved = numpy_helper.to_array(boxes) + np.array([shift, 0, 0, 0], np.float32)[:, None]
    boxes.CopyFrom(numpy_helper.from_array(moved, "boxes"))
    source = save_tiny_detector(repository.parent / f"shifted_{shift}.onnx", model)
    settings = BuildSettings("tiny", conf=0.4, runtime=image.runtime)
    return build_pipeline(source, repository, settings).version


@pytest.fixture(scope="session")
def demo(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FramewireContainer]:
    """The demo pipeline, served; for tests that leave it as it is."""
    options: dict[str, Any] = {}
    if image.demo:
        options["repository"] = tmp_path_factory.mktemp("demo") / "repository"
        settings = BuildSettings("codes", runtime=image.demo)
        build_pipeline(DEMO_DETECTOR, options["repository"], settings)
    with container_of(image, **options) as container:
        yield container
