"""What FramewireContainer says when a container does not come up, and what it leaves behind."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest

import docker
from builder.errors import ContainerFailedError, ContainersUnavailableError, RepositoryError
from builder.pipelines.repository import build_pipeline
from builder.serving.ports import free_ports
from builder.settings import BuildSettings
from builder.testing import FramewireContainer
from tests import images
from tests.containers.conftest import LABELS, Image, StartContainer, container_of
from tests.supervised import wait_until
from tests.tiny_detector import coloured_square, save_tiny_detector

pytestmark = pytest.mark.containers


@pytest.fixture
def broken_repository(tiny_repository: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_repository, tmp_path / "repository")
    (model,) = (tmp_path / "repository" / "tiny_postprocess").glob("*/model.py")
    model.write_text("import a_package_that_is_not_there\n")
    return tmp_path / "repository"


def left_behind(image: Image) -> list[str]:
    """Ids of containers of the image that these tests made and that still exist."""
    with closing(docker.from_env()) as client:
        labels = [f"{name}={value}" for name, value in LABELS.items()]
        filters = {"ancestor": image.name, "label": labels}
        return [each.id for each in client.containers.list(all=True, filters=filters)]


def test_a_container_that_ends_is_reported_with_its_log_and_removed(
    image: Image, broken_repository: Path
) -> None:
    before = left_behind(image)
    with (
        pytest.raises(ContainerFailedError) as failed,
        container_of(image, repository=broken_repository),
    ):
        pass
    sentence, *log = str(failed.value).splitlines()
    assert sentence.startswith(f"the container of {image.name} exited with 1 before its pipelines")
    assert "No module named 'a_package_that_is_not_there'" in "\n".join(log)
    assert left_behind(image) == before


def test_a_pipeline_that_its_server_goes_without_is_reported_at_once(
    image: Image, start: StartContainer, broken_repository: Path
) -> None:
    model = save_tiny_detector(broken_repository.parent / "other.onnx")
    build_pipeline(model, broken_repository, BuildSettings("other", runtime=image.runtime))
    with (
        pytest.raises(ContainerFailedError) as failed,
        container_of(image, repository=broken_repository, timeout_s=600),
    ):
        pass
    assert "pipeline tiny is not served: model tiny_postprocess did not" in str(failed.value)
    assert "No module named 'a_package_that_is_not_there'" in str(failed.value)
    # Who does not need it has the other one.
    container = start(repository=broken_repository, pipelines=["other"])
    with container.detector() as detector:
        assert detector.detect(images.encoded(coloured_square("red"))) is not None
    health = ["framewire", "health", "--health-port", "8003"]
    # Triton has loaded it before its supervisor has had an answer.
    wait_until(
        lambda: b"tiny did not load" in container.get_wrapped_container().exec_run(health).output
    )
    assert container.get_wrapped_container().exec_run([*health, "other"]).exit_code == 0


def test_one_that_is_not_ready_in_time_is_reported_with_what_it_waits_for(
    image: Image, tiny_repository: Path
) -> None:
    before = left_behind(image)
    container = container_of(image, repository=tiny_repository, pipelines=["absent"], timeout_s=0.5)
    with pytest.raises(ContainerFailedError) as failed:
        container.start()
    sentence = str(failed.value).splitlines()[0]
    assert "was not ready after 0.5 s (pipeline absent is not ready" in sentence
    assert "timeout_s" in sentence
    assert left_behind(image) == before


def test_an_option_that_serve_refuses_is_in_the_log(image: Image, tiny_repository: Path) -> None:
    container = container_of(image, repository=tiny_repository, serve_options=["--no-such-option"])
    with pytest.raises(ContainerFailedError, match="unrecognized arguments: --no-such-option"):
        container.start()


def test_an_image_that_cannot_be_had_is_named(image: Image) -> None:
    container = FramewireContainer("127.0.0.1:1/framewire-absent")
    with pytest.raises(ContainersUnavailableError) as failed:
        container.start()
    assert "Docker does not start image 127.0.0.1:1/framewire-absent" in str(failed.value)
    assert "`make image`" in str(failed.value)
    assert "\n" not in str(failed.value)


def test_the_options_of_serve_reach_it_and_its_log_is_there(
    start: StartContainer, tiny_repository: Path
) -> None:
    container = start(repository=tiny_repository, serve_options=["--verbose"])
    assert "Started GRPCInferenceService" in container.logs


def test_a_port_of_ones_own_is_had(start: StartContainer, tiny_repository: Path) -> None:
    (port,) = free_ports(1)
    container = start(repository=tiny_repository, grpc_port=port)
    assert container.url == f"127.0.0.1:{port}"
    assert container.port("grpc") == port


def test_what_is_published_elsewhere_is_reached_where_testcontainers_says(
    start: StartContainer, tiny_repository: Path
) -> None:
    container = start(repository=tiny_repository, publish_on="0.0.0.0")  # noqa: S104 - as bidden
    assert container.host == container.get_container_host_ip()
    with container.detector() as detector:
        assert detector.connect().model == "tiny"


def test_a_folder_that_the_container_cannot_read_is_refused(
    image: Image, tiny_repository: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(tiny_repository, repository)
    repository.chmod(0o700)
    with pytest.raises(RepositoryError, match=r"cannot read .* \(mode 700\): run `chmod -R a\+rX"):
        container_of(image, repository=repository)
