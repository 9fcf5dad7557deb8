"""The images themselves: who runs in them, what they find, how they stop.

The production image is built on a stand-in for NVIDIA's (``stand_in/Dockerfile``), with stand-ins
for trtexec and nvidia-smi (``tests.builder.engine_stand_ins``). That proves its layers, its
entrypoint and what becomes of plans; not that TensorRT makes them, nor that NVIDIA's Triton loads
them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from tests import images
from tests.builder.engine_stand_ins import StandIns, contents, tensorrt_repository
from tests.builder.engine_stand_ins import network_folder as version_folder
from tests.conftest import ROOT
from tests.containers.requirements import Requirement, missing
from tests.tiny_detector import coloured_square, save_tiny_detector
from thin_client import Detector

pytestmark = pytest.mark.containers

CPU_IMAGE = os.environ.get("FRAMEWIRE_CPU_IMAGE", "framewire-cpu")
CLIENT_IMAGE = os.environ.get("FRAMEWIRE_CLIENT_IMAGE", "framewire-client")
STAND_IN, PRODUCTION = "framewire-tests-stand-in", "framewire-tests-production"
LABEL = "framewire.tests=images"
# As little as a container can be given.
CONFINED = (
    *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"),  # noqa: S108 - the container's
    *("--security-opt", "no-new-privileges", "--shm-size", "1g"),
)
ADMIN_KEY = "a-key-of-the-tests-0123456789"
PATIENCE_S = 120


def docker(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert not check or done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done


class Container:
    """A container that ``docker run`` started."""

    def __init__(self, image: str, *options: str, arguments: tuple[str, ...] = ()) -> None:
        run = ("run", "--detach", "--label", LABEL, *options, image, *arguments)
        self.id = docker(*run).stdout.strip()

    def state(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(
            docker("inspect", "--format", "{{json .State}}", self.id).stdout
        )
        return found

    def log(self) -> str:
        said = docker("logs", self.id)
        return said.stdout + said.stderr

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return docker("exec", self.id, *command, check=False)

    def await_log(self, text: str) -> str:
        """What it said, once that holds ``text`` or the container has ended."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            said = self.log()
            if text in said or not self.state()["Running"]:
                break
            time.sleep(0.2)
        assert text in said
        return said

    def await_health(self) -> str:
        """What its health check finds, once it has been asked."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            health = self.state()["Health"]
            assert isinstance(health, dict)
            if health["Status"] != "starting":
                break
            time.sleep(0.2)
        return str(health["Status"])

    def wait(self) -> int:
        """The exit code, once it has ended by itself."""
        return int(docker("wait", self.id).stdout)

    def stop(self) -> int:
        """The exit code after SIGTERM."""
        docker("stop", "--time", "60", self.id)
        return int(str(self.state()["ExitCode"]))

    def port(self, port: int) -> int:
        return int(docker("port", self.id, str(port)).stdout.split(":")[-1])


Start = Callable[..., Container]


@pytest.fixture(scope="session")
def cpu_image() -> str:
    if shutil.which("docker") is None or docker("info", check=False).returncode:
        missing("no Docker daemon answers: run `.ci/start-docker`", Requirement.DOCKER)
    for image in (CPU_IMAGE, CLIENT_IMAGE):
        if docker("image", "inspect", image, check=False).returncode:
            missing(f"there is no image {image}: run `make image`", Requirement.DOCKER)
    return CPU_IMAGE


@pytest.fixture(scope="session")
def production_image(cpu_image: str) -> str:
    """The production image on the stand-in for NVIDIA's."""
    build = ("build", "--quiet", "--network", "host")
    stand_in = ("--file", "tests/containers/stand_in/Dockerfile", "tests/containers/stand_in")
    docker(*build, "--build-arg", f"CPU_IMAGE={cpu_image}", "--tag", STAND_IN, *stand_in)
    dockerfile = ("--file", "docker/Dockerfile", ".")
    docker(*build, "--build-arg", f"BASE={STAND_IN}", "--tag", PRODUCTION, *dockerfile)
    return PRODUCTION


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[Container] = []

    def run(image: str, *options: str, arguments: tuple[str, ...] = ()) -> Container:
        started.append(Container(image, *options, arguments=arguments))
        return started[-1]

    yield run
    for container in started:
        docker("rm", "--force", "--volumes", container.id)


@pytest.fixture
def volume() -> Iterator[str]:
    name = f"framewire-tests-{uuid.uuid4().hex[:12]}"
    docker("volume", "create", "--label", LABEL, name)
    yield name
    docker("volume", "rm", "--force", name)


@pytest.fixture
def tiny_repository(tmp_path: Path) -> Path:
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    build_pipeline(model, tmp_path / "r", BuildSettings("tiny", conf=0.5))
    tmp_path.chmod(0o755)
    return tmp_path / "r"


def mounted(repository: Path) -> tuple[str, str]:
    """The options that mount a repository as the documentation says."""
    for folder in (repository, *repository.parents[:3]):
        with suppress(PermissionError):
            folder.chmod(folder.stat().st_mode | 0o555)
    return ("--volume", f"{repository}:/models:ro")


IMAGES = ("cpu_image", "production_image")


@pytest.fixture(params=IMAGES)
def image(request: pytest.FixtureRequest) -> str:
    chosen: str = request.getfixturevalue(request.param)
    return chosen


def test_the_images_say_who_runs_and_how_they_are_asked_and_stopped(image: str) -> None:
    (found,) = json.loads(docker("image", "inspect", image).stdout)
    config = found["Config"]
    assert config["User"] == "1000:1000"
    assert config["StopSignal"] == "SIGTERM"
    assert set(config["ExposedPorts"]) == {f"{port}/tcp" for port in range(8000, 8004)}
    assert config["Healthcheck"]["Test"][:3] == ["CMD", "framewire", "health"]
    assert "--restrict" in config["Entrypoint"]


def test_a_confined_container_serves_a_mounted_repository_and_is_healthy(
    image: str, start: Start, tiny_repository: Path
) -> None:
    container = start(
        image,
        *CONFINED,
        *mounted(tiny_repository),
        *("--publish", "127.0.0.1::8001", "--env", f"FRAMEWIRE_ADMIN_KEY={ADMIN_KEY}"),
    )
    container.await_log("ready: tiny, tiny_bls, ")
    assert container.run("id", "-u").stdout == "1000\n"
    for bls in (False, True):
        with Detector(f"127.0.0.1:{container.port(8001)}", "tiny", bls=bls) as detector:
            found = detector.detect(images.encoded(coloured_square("red")))
            assert {each.label for each in found} == {"red"}
    assert container.await_health() == "healthy"
    unload = (
        "import urllib.request as r; r.urlopen(r.Request('http://127.0.0.1:8000/v2/repository/"
        f"models/tiny_bls/unload', b'', {{'framewire-admin': '{ADMIN_KEY}'}}))"
    )
    assert container.run("python3", "-c", unload).returncode == 0
    # Until its next canary nobody knows.
    time.sleep(5)
    asked = container.run(
        *json.loads(
            docker(
                "image", "inspect", "--format", "{{json .Config.Healthcheck.Test}}", image
            ).stdout
        )[1:]
    )
    assert asked.returncode == 1
    assert "tiny_bls is not loaded" in asked.stderr
    assert container.stop() == 0


def test_orphans_do_not_stay_as_zombies(image: str, start: Start, tiny_repository: Path) -> None:
    container = start(image, *CONFINED, *mounted(tiny_repository))
    container.await_log("ready: ")
    orphan = "import os, time; os.fork() or (time.sleep(0.2), os._exit(0)); os._exit(0)"
    assert container.run("python3", "-c", orphan).returncode == 0
    left = (
        "import glob, time; time.sleep(1); print([open(f).read() for f in "
        "glob.glob('/proc/[0-9]*/stat') if ') Z ' in open(f).read()])"
    )
    assert container.run("python3", "-c", left).stdout == "[]\n"


def test_sigterm_is_heard_before_anything_is_ready(
    image: str, start: Start, tiny_repository: Path
) -> None:
    container = start(image, *CONFINED, *mounted(tiny_repository))
    # Killed by the signal, or interrupted by it; 137 would be Docker's SIGKILL.
    assert container.stop() in {0, 130, 143}


def test_the_production_image_makes_a_plan_once_and_anew_where_it_does_not_fit(
    production_image: str, volume: str, start: Start, tmp_path: Path
) -> None:
    repository = tensorrt_repository(tmp_path)
    before = contents(repository)
    stand_ins = StandIns(tmp_path / "stand_ins")
    for program in ("trtexec", "nvidia-smi"):
        lines = (stand_ins.home / program).read_text().splitlines()
        (stand_ins.home / program).write_text("\n".join(["#!/usr/bin/env python3", *lines[1:], ""]))
    # The copy of a folder that nobody may write is not to be one.
    version_folder(repository).chmod(0o555)
    (stand_ins.home / "calls.jsonl").touch()
    (stand_ins.home / "calls.jsonl").chmod(0o666)

    def served() -> str:
        container = start(
            production_image,
            *CONFINED,
            *mounted(repository),
            *("--volume", f"{stand_ins.home}:/stand_ins"),
            *("--volume", f"{volume}:/var/cache/framewire"),
        )
        # The stand-in for NVIDIA's Triton has no backend that would load the plan.
        assert container.wait() == 1
        said = container.log()
        assert "tiny_network" in said.splitlines()[-1]
        assert "tensorrt" in said.splitlines()[-1]
        return said

    assert "compiled in" in served()
    assert "taken from the cache" in served()
    assert len(stand_ins.builds) == 1
    stand_ins.tell(gpus=["NVIDIA A10, 8.6"])
    assert "on NVIDIA A10 (8.6)" in served()
    assert len(stand_ins.builds) == 2
    assert contents(repository) == before
    stand_ins.tell(gpus=[])
    without_gpu = start(
        production_image, *mounted(repository), "--volume", f"{stand_ins.home}:/stand_ins"
    )
    assert without_gpu.wait() == 1
    assert "tiny needs TensorRT and a GPU" in without_gpu.log()


def test_the_client_image_holds_the_client_and_no_shell(cpu_image: str, start: Start) -> None:
    server = start(cpu_image, *CONFINED)
    server.await_log("ready: ")
    arguments = ("image", "warehouse.jpg", "--model", "codes", "--json")
    confined = ("--rm", "--label", LABEL, "--read-only", "--cap-drop", "ALL")
    where = ("--network", f"container:{server.id}", "--volume", f"{ROOT / 'samples'}:/work:ro")
    found = docker("run", *confined, *where, CLIENT_IMAGE, *arguments)
    assert json.loads(found.stdout)["detections"]
    (image,) = json.loads(docker("image", "inspect", CLIENT_IMAGE).stdout)
    assert image["Config"]["User"] == "1000:1000"
    shell = docker("run", *confined, "--entrypoint", "/bin/sh", CLIENT_IMAGE, check=False)
    assert "no such file" in shell.stderr
