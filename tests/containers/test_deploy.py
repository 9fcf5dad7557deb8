"""The command line that `framewire deploy` prints starts a server that bears full batches."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from builder.pipelines.repository import build_pipeline
from builder.serving.ports import free_ports
from builder.settings import BuildSettings
from tests.serving import framewire
from tests.tiny_detector import save_tiny_detector, tiny_detector
from thin_client import Detector, ServerFailed

pytestmark = pytest.mark.containers

# On a GPU a plan is compiled first.
READY_S = 600
MAX_BATCH = 16
SENDERS = 4
MIB = 2**20


@pytest.fixture(scope="module")
def repository(image: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline with frames of 640x640, so that full batches are large, and next to no network."""
    folder = tmp_path_factory.mktemp("deployed")
    model = save_tiny_detector(folder / "tiny.onnx", tiny_detector(640, 640))
    settings = BuildSettings("tiny", runtime=image.runtime, max_batch=MAX_BATCH)
    build_pipeline(model, folder / "repository", settings)
    folder.chmod(0o755)
    return folder / "repository"


def deployed(image: Any, repository: Path, ports: list[int]) -> str:
    """What `framewire deploy` prints."""
    options = zip(("--grpc-port", "--http-port", "--metrics-port"), map(str, ports), strict=True)
    arguments = ["--repository", str(repository), "--image", image.name]
    done = subprocess.run(
        framewire("deploy", *arguments, *itertools.chain.from_iterable(options)),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@contextmanager
def running(command: str, http_port: int) -> Iterator[str]:
    """Type a `docker run --detach` and wait for the pipeline; gives the container's id."""
    shell = ["sh", "-c", command]
    container = subprocess.run(shell, capture_output=True, text=True, check=True).stdout.strip()
    try:
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            address = f"http://127.0.0.1:{http_port}/v2/models/tiny/ready"
            with suppress(OSError), urllib.request.urlopen(address, timeout=10):
                break
            time.sleep(0.2)
        else:
            raise AssertionError(docker("logs", container))
        yield container
    finally:
        docker("rm", "--force", "--volumes", container)


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    return done.stdout


def inspected(container: str) -> dict[str, Any]:
    (found,) = json.loads(docker("inspect", container))
    return found


def test_the_printed_command_serves_full_batches(image: Any, repository: Path) -> None:
    ports = free_ports(3)
    command = deployed(image, repository, ports)
    option = dict(itertools.pairwise(shlex.split(command, comments=True)))
    with running(command, ports[1]) as container:
        limits = inspected(container)["HostConfig"]
        assert f"{limits['Memory'] // MIB}m" == option["--memory"]
        assert f"{limits['ShmSize'] // MIB}m" == option["--shm-size"]
        picture = noise(2048, 1536)
        assert len(picture) > 0.9 * MIB
        # Nothing but a header and a colour: it takes what the largest picture takes.
        huge = cv2.imencode(".webp", np.zeros((9900, 9900, 3), np.uint8))[1].tobytes()
        usual, worst = [picture] * MAX_BATCH, [picture] * (MAX_BATCH - 1) + [huge]
        for bls in (False, True):
            send_at_once(f"127.0.0.1:{ports[0]}", usual, usual, bls=bls)
            send_at_once(f"127.0.0.1:{ports[0]}", worst, bls=bls)
        state = inspected(container)
        assert state["State"]["Running"]
        assert not state["State"]["OOMKilled"]
        # `serve` ends when the process of a model is killed, and would have been started again.
        assert state["RestartCount"] == 0


def noise(width: int, height: int) -> bytes:
    """A JPEG of about a megabyte."""
    small = np.random.default_rng(0).integers(0, 256, (height // 2, width // 2, 3), np.uint8)
    picture = cv2.resize(small, (width, height))
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def send_at_once(url: str, *batches: list[bytes], bls: bool) -> None:
    """Send batches from each of several connections; every image must be answered."""

    def send(_: int) -> None:
        with Detector(url, "tiny", bls=bls, timeout_s=300) as detector:
            for batch in batches:
                answers = detector.detect_batch(batch)
                assert [each.status for each in answers] == [0] * len(batch)

    with ThreadPoolExecutor(SENDERS) as threads:
        list(threads.map(send, range(SENDERS)))


def test_less_shared_memory_than_printed_would_not_do(image: Any, repository: Path) -> None:
    ports = free_ports(3)
    # Every process has its region, and none has room for a full batch.
    command, changes = re.subn(
        r"--shm-size \d+m", "--shm-size 112m", deployed(image, repository, ports)
    )
    assert changes == 1
    with (
        running(command, ports[1]),
        pytest.raises(ServerFailed, match="shared memory"),
    ):
        send_at_once(f"127.0.0.1:{ports[0]}", [noise(2048, 1536)] * MAX_BATCH, bls=False)
