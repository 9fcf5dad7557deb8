"""What a container may use: what `framewire deploy` says is enough, and too little is said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from docker.models.containers import Container

from builder.deployment.needs import needs_of
from builder.deployment.wishes import Wishes
from builder.errors import ContainerFailedError
from builder.pipelines.repository import build_pipeline
from builder.serving.shared_memory import SHM_FOLDER
from builder.settings import BuildSettings
from tests.containers.conftest import DEMO_DETECTOR, Image, StartContainer
from tests.e2e.test_demo_pipeline import IMAGES, SAMPLES, assert_is_golden
from thin_client import Detections, Detector

pytestmark = pytest.mark.containers

MIB = 2**20
FULL_BATCHES = 24


@pytest.fixture
def repository(image: Image, tmp_path: Path) -> Path:
    """The demo's detector, for frames of the samples' sizes."""
    settings = BuildSettings(
        "codes", max_batch=8, max_image_pixels=4_000_000, runtime=image.runtime
    )
    build_pipeline(DEMO_DETECTOR, tmp_path / "repository", settings)
    return tmp_path / "repository"


def full_batches(detector: Detector) -> list[list[Detections]]:
    """Results of batches of eight, two of them under way at any time."""
    names = (list(IMAGES) * 2)[:8]
    batch = [(SAMPLES / name).read_bytes() for name in names]
    results = [detector.detect_batch(batch) for _ in range(FULL_BATCHES // 2)]
    for found in results:
        for name, detections in zip(names, found, strict=True):
            assert_is_golden(detections, name, "in_square")
    return results


def test_full_batches_stay_within_what_deploy_says(start: StartContainer, repository: Path) -> None:
    needs = needs_of(Wishes(repository))
    container = start(repository=repository)
    with container.detector() as detector, container.detector(bls=True) as bls:
        full_batches(detector)
        full_batches(bls)
    docker_container = container.get_wrapped_container()
    docker_container.reload()
    state, limits = docker_container.attrs["State"], docker_container.attrs["HostConfig"]
    assert limits["ShmSize"] == needs.shared_memory_mib * MIB
    assert limits["Memory"] == limits["MemorySwap"] == needs.memory_mib * MIB
    assert state["Running"]
    assert not state["OOMKilled"]
    assert docker_container.attrs["RestartCount"] == 0
    # Nothing was near the brim, and no process died.
    assert shm_used_bytes(docker_container) < limits["ShmSize"]
    assert not re.search(r"\bended\b|restarting", container.logs)
    warnings = [line for line in container.logs.splitlines() if "warning" in line]
    assert all("others can reach" in line for line in warnings), warnings


def shm_used_bytes(container: Container) -> int:
    listed = container.exec_run(["df", "-B1", "--output=used", str(SHM_FOLDER)])
    return int(listed.output.split()[-1])


def test_too_little_shared_memory_is_said_at_the_start(
    start: StartContainer, repository: Path
) -> None:
    try:
        said = start(repository=repository, shm_bytes=8 * MIB).logs
    except ContainerFailedError as error:
        # Not even the regions for the start had room.
        said = str(error)
    needs = needs_of(Wishes(repository, versions=1)).shared_memory_mib
    warning = re.search(rf"{SHM_FOLDER} has 8 MB and full batches may need (\d+) MB", said)
    assert warning, said
    assert int(warning[1]) <= needs
    assert "docker run --shm-size" in said


def test_too_little_memory_is_said_when_the_container_dies_of_it(
    start: StartContainer, repository: Path
) -> None:
    with pytest.raises(ContainerFailedError, match="needed more than its memory limit"):
        start(repository=repository, memory_bytes=96 * MIB, shm_bytes=64 * MIB, timeout_s=60)
