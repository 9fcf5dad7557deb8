"""What only a GPU can show: plans that TensorRT makes, and NVIDIA's own load generator.

The other tests of this folder run against the GPU image too. On a machine without a GPU all of that
is skipped.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from testcontainers.core.container import DockerContainer

import docker
from builder.benchmark.input_data import write_image_data
from builder.benchmark.load import Load
from builder.benchmark.perf_analyzer import PerfAnalyzer, Target
from builder.benchmark.perf_csv import read_measurements
from builder.deployment.docker_run import PLANS_IN_CONTAINER
from builder.pipelines.manifest import active_version
from builder.pipelines.model_configs import PLAN_FILE
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings, Runtime
from builder.tensorrt.plan import FINGERPRINT_FILE, fingerprint_text, read_fingerprint
from builder.testing import FramewireContainer
from tests import images
from tests.conftest import ROOT
from tests.containers.asking import ask
from tests.containers.conftest import LABELS, Image, StartContainer, container_of
from tests.e2e.test_demo_pipeline import SAMPLES, assert_is_golden
from tests.tiny_detector import coloured_square, save_tiny_detector, tiny_detector

pytestmark = [
    pytest.mark.containers,
    pytest.mark.gpu,
    pytest.mark.parametrize("image", ["gpu"], indirect=True),
]

RED = images.encoded(coloured_square("red"), ".png")
COMPILED, FROM_CACHE = "compiled in", "taken from the cache"
PLANS = f"{PLANS_IN_CONTAINER}/plans"
CONFIDENCE = 0.4


def triton_release() -> str:
    """The release of NVIDIA's containers that the production image is made of."""
    if said := os.environ.get("TRITON"):
        return said
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text()
    (release,) = re.findall(r"^ARG TRITON=(\S+)$", dockerfile, re.MULTILINE)
    return str(release)


@pytest.fixture
def sdk_image() -> str:
    default = f"nvcr.io/nvidia/tritonserver:{triton_release()}-py3-sdk"
    return os.environ.get("FRAMEWIRE_SDK_IMAGE", default)


@pytest.fixture
def volume(image: Image) -> Iterator[str]:
    """A volume for plans that several containers use in turn."""
    with closing(docker.from_env()) as client:
        made = client.volumes.create(f"framewire-tests-{uuid.uuid4().hex[:12]}", labels=LABELS)
        yield made.name
        made.remove(force=True)


@pytest.fixture
def repository(image: Image, tmp_path: Path) -> Path:
    """The pipeline ``tiny``, whose network is to be a plan, and has none yet."""
    build_version(tmp_path / "repository", 64)
    return tmp_path / "repository"


def build_version(repository: Path, size: int) -> int:
    source = save_tiny_detector(repository.parent / f"{size}.onnx", tiny_detector(size, size))
    settings = BuildSettings("tiny", conf=CONFIDENCE, runtime=Runtime.TENSORRT)
    return build_pipeline(source, repository, settings).version


@pytest.fixture
def served(image: Image, repository: Path, volume: str) -> Callable[[], tuple[str, dict[str, str]]]:
    """Serve the repository once: the log, and the SHA-256 of each plan in the volume."""

    def serve() -> tuple[str, dict[str, str]]:
        # In a with block of its own: the next one is to find no other that uses the volume.
        container = container_of(image, repository=repository)
        with container.with_volume_mapping(volume, PLANS_IN_CONTAINER, "rw"):
            with container.detector() as detector:
                assert {each.label for each in detector.detect(RED)} == {"red"}
            log, plans = container.logs, plans_in(container)
        return log, plans

    return serve


def plans_in(container: FramewireContainer) -> dict[str, str]:
    command = ["sh", "-c", f"cd {PLANS} && sha256sum */{PLAN_FILE}"]
    listed = container.get_wrapped_container().exec_run(command)
    assert listed.exit_code == 0, listed.output
    lines = listed.output.decode().splitlines()
    return {path: digest for digest, path in (line.split() for line in lines)}


def test_a_plan_is_compiled_once_and_the_next_container_takes_it(
    served: Callable[[], tuple[str, dict[str, str]]],
) -> None:
    first_log, first = served()
    second_log, second = served()
    assert COMPILED in first_log
    assert FROM_CACHE not in first_log
    assert FROM_CACHE in second_log
    assert COMPILED not in second_log
    assert len(first) == 1
    assert second == first


def test_another_network_gets_a_plan_of_its_own(
    served: Callable[[], tuple[str, dict[str, str]]], repository: Path
) -> None:
    _, first = served()
    # A version more, in a repository of the same name.
    assert build_version(repository, 96) == 2
    log, second = served()
    assert COMPILED in log
    assert len(second) == 2
    assert first.items() < second.items()


def test_a_damaged_plan_in_the_cache_is_never_served(
    served: Callable[[], tuple[str, dict[str, str]]], image: Image, volume: str
) -> None:
    _, first = served()
    (plan,) = first
    damage = f"printf damaged >> {PLANS_IN_CONTAINER}/plans/{plan}"
    with closing(docker.from_env()) as client:
        client.containers.run(
            image.name,
            ["-c", damage],
            entrypoint="sh",
            remove=True,
            volumes={volume: {"bind": PLANS_IN_CONTAINER, "mode": "rw"}},
        )
    log, second = served()
    assert COMPILED in log
    assert set(second) == set(first)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({"tensorrt_version": "8.6.1.6"}, r"was compiled by TensorRT 8\.6\.1\.6, and here is"),
        ({"compute_capability": "5.2"}, r"was compiled for compute capability 5\.2"),
        ({"plan_sha256": hashlib.sha256(b"").hexdigest()}, "is not the file that"),
    ],
    ids=["another TensorRT", "another GPU", "another file"],
)
def test_a_plan_in_the_repository_that_does_not_fit_is_replaced(
    start: StartContainer, repository: Path, tmp_path: Path, found: dict[str, str], reason: str
) -> None:
    # A real plan with a fingerprint that is wrong in one respect.
    network = f"tiny_network/{active_version(repository, 'tiny')}"
    first = start(repository=repository)
    read_from = f"cat {PLANS}/*/"
    for file in (PLAN_FILE, FINGERPRINT_FILE):
        copied = first.get_wrapped_container().exec_run(["sh", "-c", read_from + file])
        assert copied.exit_code == 0, copied.output
        (repository / network / file).write_bytes(copied.output)
    fingerprint = read_fingerprint(repository / network)
    assert fingerprint is not None
    wrong = fingerprint_text(replace(fingerprint, **found))
    (repository / network / FINGERPRINT_FILE).write_text(wrong)
    before = (repository / network / PLAN_FILE).read_bytes()

    second = start(repository=repository)
    assert re.search(rf"tiny: version \d+ has a plan for TensorRT .* {reason}", second.logs)
    with second.detector() as detector:
        assert {each.label for each in detector.detect(RED)} == {"red"}
    # The mount is read-only, and so is what it mounts.
    assert (repository / network / PLAN_FILE).read_bytes() == before


def test_a_plan_in_the_repository_that_fits_is_served_as_it_is(
    start: StartContainer, repository: Path, tmp_path: Path, image: Image
) -> None:
    with_plan = tmp_path / "with_plan"
    shutil.copytree(repository, with_plan)
    for folder in (with_plan, *with_plan.rglob("*")):
        folder.chmod(0o777 if folder.is_dir() else 0o666)
    engine = ["engine", "--repository", "/repository", "--cache", PLANS_IN_CONTAINER]
    with closing(docker.from_env()) as client:
        said = client.containers.run(
            image.name,
            engine,
            entrypoint="framewire",
            remove=True,
            volumes={str(with_plan): {"bind": "/repository", "mode": "rw"}},
            **(
                {"device_requests": [docker.types.DeviceRequest(count=-1, capabilities=[["gpu"]])]}
                if image.gpu
                else {}
            ),
        ).decode()
    assert COMPILED in said
    container = start(repository=with_plan)
    assert COMPILED not in container.logs
    assert FROM_CACHE not in container.logs


def test_the_network_runs_on_the_gpu(demo: FramewireContainer) -> None:
    with demo.detector() as detector:
        found = detector.detect((SAMPLES / "warehouse.jpg").read_bytes())
    assert_is_golden(found, "warehouse.jpg")
    metrics = ask(demo.metrics_url)[1]
    used = re.findall(r"^nv_gpu_memory_used_bytes\{[^}]*\} ([\d.e+]+)", metrics, re.MULTILINE)
    assert used
    assert any(float(each) > 0 for each in used)


@pytest.mark.parametrize("model", ["codes", "codes_bls"])
def test_perf_analyzer_of_nvidias_sdk_measures_the_pipeline(
    demo: FramewireContainer, sdk_image: str, tmp_path: Path, model: str
) -> None:
    pictures = [(SAMPLES / name).read_bytes() for name in ("desk.jpg", "shelf.jpg", "yard.jpg")]
    write_image_data(pictures, tmp_path / "images.json")
    tmp_path.chmod(0o777)
    inside = Path("/measured")
    command = PerfAnalyzer(Path("perf_analyzer")).command(
        # In the network of the server: there it is where it always is.
        Target("127.0.0.1:8001", None),
        Load(model, concurrency=4),
        inside / "images.json",
        inside / "measured.csv",
        window_ms=3000,
    )
    # It reads the server's statistics, which want the admin key.
    for header, key in demo.admin_metadata.items():
        command += ["-H", f"{header}:{key}"]
    network = f"container:{demo.get_wrapped_container().id}"
    sdk = DockerContainer(sdk_image, network_mode=network, labels=LABELS)
    with sdk.with_volume_mapping(str(tmp_path), str(inside), "rw").with_command(command):
        ended = sdk.get_wrapped_container().wait()
        said = b"".join(sdk.get_logs()).decode()
    assert ended["StatusCode"] == 0, said
    (measured,) = read_measurements(tmp_path / "measured.csv")
    assert measured.images_per_s > 0
    assert measured.p50_ms > 0
