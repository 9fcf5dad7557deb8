"""docker/nginx/nginx.conf in the nginx of the distribution, before three real servers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event

import cv2
import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from builder.pipelines.repository import build_pipeline
from builder.serving.ports import free_ports
from builder.settings import BuildSettings
from tests import images
from tests.conftest import ROOT
from tests.docker.programs import program
from tests.e2e.wire import infer
from tests.serving import Serving, serving
from tests.tiny_detector import coloured_square, save_tiny_detector
from thin_client import BadImage, Detector

CONFIGURATION = ROOT / "docker" / "nginx"
SERVERS = 3
CLIENTS = 6
RED = images.encoded(coloured_square("red"))


@pytest.fixture(scope="module")
def nginx() -> str:
    return program("nginx", "nginx-light")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("balanced")
    model = save_tiny_detector(folder / "tiny.onnx")
    build_pipeline(model, folder / "repository", BuildSettings("tiny", conf=0.5))
    return folder / "repository"


@pytest.fixture(scope="module")
def servers(repository: Path) -> Iterator[list[Serving]]:
    with ExitStack() as stack:
        yield [stack.enter_context(serving(repository, "--no-supervise")) for _ in range(SERVERS)]


@pytest.fixture(scope="module")
def balancer(
    nginx: str, servers: list[Serving], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    with balancing(nginx, servers, tmp_path_factory.mktemp("nginx")) as url:
        yield url


@contextmanager
def balancing(nginx: str, servers: list[Serving], folder: Path) -> Iterator[str]:
    """Run nginx as in docker/, but on ports of its own and with these servers."""
    port, health_port = free_ports(2)
    text = (CONFIGURATION / "nginx.conf").read_text()
    for found, wanted in (
        ("listen 8001 ", f"listen 127.0.0.1:{port} "),
        ("listen 8080;", f"listen 127.0.0.1:{health_port};"),
        ("/tmp/nginx", f"{folder}/nginx"),  # noqa: S108 - as it stands there
    ):
        assert found in text
        text = text.replace(found, wanted)
    (folder / "nginx.conf").write_text(text)
    upstream = (CONFIGURATION / "upstream.conf").read_text()
    options = re.findall(r"^server \S+( .*)?;$", upstream, re.MULTILINE)
    assert len(options) >= 2
    lines = (f"server 127.0.0.1:{each.grpc_port}{options[0]};\n" for each in servers)
    (folder / "upstream.conf").write_text("".join(lines))
    # Root would give its work to a user who may not read this folder.
    user = "user root; " if os.geteuid() == 0 else ""
    log = folder / "log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            [nginx, "-c", str(folder / "nginx.conf"), "-g", f"{user}daemon off;"], stderr=said
        )
    try:
        wait_until_healthy(process, health_port, log)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def wait_until_healthy(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    address, deadline = f"http://127.0.0.1:{port}/healthz", time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with suppress(OSError), urllib.request.urlopen(address) as answer:
            assert answer.read() == b"ok\n"
            return
        time.sleep(0.05)
    raise AssertionError("nginx never answered")


def counts(servers: list[Serving], model: str) -> list[tuple[int, int]]:
    """Requests that each server has answered, and refused."""
    found = []
    for server in servers:
        with InferenceServerClient(server.url) as client:
            stats = client.get_inference_statistics(model).model_stats[0].inference_stats
            found.append((stats.success.count, stats.fail.count))
    return found


def grown(before: list[tuple[int, int]], after: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(b[0] - a[0], b[1] - a[1]) for a, b in zip(before, after, strict=True)]


def test_one_connection_reaches_every_server(balancer: str, servers: list[Serving]) -> None:
    before = counts(servers, "tiny")
    with Detector(balancer, "tiny") as detector:
        for _ in range(10 * SERVERS):
            assert [each.label for each in detector.detect(RED)] == ["red"]
    assert grown(before, counts(servers, "tiny")) == [(10, 0)] * SERVERS


def test_a_large_batch_passes(balancer: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1100, 1300, 3), np.uint8)
    picture = cv2.imencode(".bmp", noise)[1].tobytes()
    batch = [picture] * 15 + [RED]
    assert sum(map(len, batch)) > 60 * 2**20
    with Detector(balancer, "tiny", timeout_s=120) as detector:
        answers = detector.detect_batch(batch)
    assert [(each.width, each.height) for each in answers] == [(1300, 1100)] * 15 + [(64, 64)]


def test_a_bad_image_is_refused_once_in_the_servers_own_words(
    balancer: str, servers: list[Serving]
) -> None:
    refusals, failures = [], []
    for url in (servers[0].url, balancer):
        before = counts(servers, "tiny")
        with pytest.raises(InferenceServerException) as refused:
            infer(url, "tiny", [b"no image"])
        refusals.append((refused.value.status(), refused.value.message()))
        changes = grown(before, counts(servers, "tiny"))
        failures.append(sum(failed for _, failed in changes))
    assert refusals[0] == refusals[1]
    assert refusals[0][0] == "StatusCode.INVALID_ARGUMENT"
    # As many as without nginx: no other server was sent it too.
    assert failures[0] == failures[1] >= 1
    with Detector(balancer, "tiny") as detector, pytest.raises(BadImage):
        detector.detect(b"no image")


def test_a_server_that_is_killed_costs_no_call(
    nginx: str, servers: list[Serving], repository: Path, tmp_path: Path
) -> None:
    killed, enough = Event(), Event()
    with ExitStack() as stack:
        victim = stack.enter_context(serving(repository, "--no-supervise"))
        three = [*servers[1:], victim]
        url = stack.enter_context(balancing(nginx, three, tmp_path))
        before = counts(three, "tiny")

        def client(_: int) -> tuple[int, int]:
            """Calls until enough; how many before the server was killed, and how many after."""
            calls = [0, 0]
            with Detector(url, "tiny") as detector:
                while not enough.is_set():
                    after = killed.is_set()
                    assert [each.label for each in detector.detect(RED)] == ["red"]
                    calls[after] += 1
                    if calls[1] >= 50:
                        break
            return calls[0], calls[1]

        with ThreadPoolExecutor(CLIENTS) as threads:
            clients = [threads.submit(client, number) for number in range(CLIENTS)]
            try:
                wait_for_requests(victim)
                for pid in (victim.process.pid, victim.triton_pid()):
                    os.kill(pid, signal.SIGKILL)
                killed.set()
                calls = [each.result(timeout=120) for each in clients]
            finally:
                enough.set()
        assert all(ahead and behind >= 50 for ahead, behind in calls)
        survivors = grown(before[:2], counts(three[:2], "tiny"))
        assert all(answered >= 50 * CLIENTS / 2 - CLIENTS for answered, _ in survivors)


def wait_for_requests(server: Serving) -> None:
    deadline = time.monotonic() + 60
    while counts([server], "tiny")[0][0] < 20:
        assert time.monotonic() < deadline, "the load never came"
        time.sleep(0.02)
