"""``framewire health`` against the real server: it asks for pipelines, not only for a server."""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from builder.errors import ServerNotReadyError
from builder.serving.ports import free_ports
from builder.serving.readiness import check_metrics
from builder.serving.server_options import LOOPBACK
from tests.serving import Serving, framewire, serving


def health(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        framewire("health", *arguments), capture_output=True, text=True, check=False
    )


def ask(server: Serving, method: str, path: str) -> int:
    """The status that Triton answers with."""
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port)
    with closing(connection):
        connection.request(method, path, body=b"" if method == "POST" else None)
        answer = connection.getresponse()
        answer.read()
        return answer.status


@pytest.fixture
def server(tiny_repository: Path) -> Iterator[Serving]:
    with serving(tiny_repository) as running:
        yield running


def test_pipelines_of_the_repository_are_healthy_when_all_of_their_models_are_ready(
    server: Serving, tiny_repository: Path
) -> None:
    asked = health("--repository", str(tiny_repository), "--http-port", str(server.http_port))
    assert (asked.returncode, asked.stdout, asked.stderr) == (0, "ready: tiny\n", "")
    named = health("tiny", "--http-port", str(server.http_port), "--address", "127.0.0.1")
    assert (named.returncode, named.stdout) == (0, "ready: tiny\n")


@pytest.mark.parametrize("model", ["tiny", "tiny_bls"])
def test_a_pipeline_that_was_unloaded_is_not_healthy_though_the_server_is(
    server: Serving, model: str
) -> None:
    assert ask(server, "POST", f"/v2/repository/models/{model}/unload") == http.client.OK
    asked = health("tiny", "--http-port", str(server.http_port))
    assert asked.returncode == 1
    assert asked.stdout == ""
    assert asked.stderr == (
        f"framewire: pipeline tiny is not ready: Triton on 127.0.0.1:{server.http_port} answered "
        f"400 for {model}; its log says why\n"
    )
    assert ask(server, "GET", "/v2/health/live") == http.client.OK


def test_a_pipeline_whose_step_was_unloaded_is_not_healthy(server: Serving) -> None:
    assert ask(server, "POST", "/v2/repository/models/tiny_network/unload") == http.client.OK
    assert ask(server, "GET", "/v2/models/tiny_bls/ready") == http.client.OK
    asked = health("tiny", "--http-port", str(server.http_port))
    assert asked.returncode == 1
    assert "pipeline tiny is not ready" in asked.stderr


def test_one_pipeline_of_two_that_is_not_served_is_named(
    server: Serving, tiny_repository: Path, tmp_path: Path
) -> None:
    two = tmp_path / "two"
    shutil.copytree(tiny_repository, two)
    shutil.copytree(two / "tiny", two / "another")
    asked = health("--repository", str(two), "--http-port", str(server.http_port))
    assert asked.returncode == 1
    assert asked.stderr.startswith("framewire: pipeline another is not ready: ")


def test_no_server_is_not_healthy() -> None:
    port = free_ports(1)[0]
    asked = health("tiny", "--http-port", str(port))
    assert asked.returncode == 1
    assert asked.stderr.count("\n") == 1
    assert f"no answer from HTTP 127.0.0.1:{port}" in asked.stderr


def test_a_repository_without_pipelines_has_none_that_is_healthy(tmp_path: Path) -> None:
    asked = health("--repository", str(tmp_path))
    assert asked.returncode == 1
    assert "holds no pipelines to ask for" in asked.stderr


def test_metrics_of_a_running_server_are_there(server: Serving) -> None:
    check_metrics(LOOPBACK, server.metrics_port)


def test_a_port_that_hangs_up_gives_no_metrics() -> None:
    # As Docker's does until the server in the container has opened its own.
    with socket.create_server((LOOPBACK, 0)) as listener:

        def hang_up() -> None:
            listener.accept()[0].close()

        answering = threading.Thread(target=hang_up)
        answering.start()
        with pytest.raises(ServerNotReadyError, match="no metrics from"):
            check_metrics(LOOPBACK, listener.getsockname()[1])
        answering.join()
