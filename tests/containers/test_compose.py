"""docker/compose.yaml, run: two servers behind nginx, and Prometheus that watches both.

NGINX_IMAGE and PROMETHEUS_IMAGE name the images; without them Debian's packages of the same
programs stand in, in an image on top of Framewire's own. Grafana has no such package; tests/docker
asks Prometheus what its dashboard asks.
"""

from __future__ import annotations

import json
import os
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.serving.ports import free_ports
from tests.conftest import ROOT
from tests.containers.asking import wait_until
from tests.containers.client_traffic import ClientTraffic
from tests.containers.conftest import Image
from tests.docker.test_compose import SERVERS, compose_command
from thin_client import Detector

pytestmark = pytest.mark.containers

STAND_IN = """
FROM {image}
USER 0
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive \\
    apt-get install -qq -y --no-install-recommends nginx-light curl prometheus >/dev/null
RUN mkdir -p /prometheus && chown 65534:65534 /prometheus
"""
STAND_IN_NAME = "framewire-tests-compose"


class Compose:
    """The services of the file, under a project name of their own."""

    def __init__(self, image: Image, repository: Path) -> None:
        self.grpc_port, self.prometheus_port = free_ports(2)
        profile = "gpu" if image.gpu else "cpu"
        self.servers = SERVERS[profile]
        self._project = f"framewire-tests-{os.getpid()}"
        self._command = [
            *compose_command(),
            *("-p", self._project, "-f", str(ROOT / "docker" / "compose.yaml")),
            *("--profile", profile),
        ]
        self._variables = {
            "FRAMEWIRE_GPU_IMAGE" if image.gpu else "FRAMEWIRE_CPU_IMAGE": image.name,
            "FRAMEWIRE_GPU_2": "0",
            "FRAMEWIRE_REPOSITORY": str(repository),
            "FRAMEWIRE_GRPC_PORT": str(self.grpc_port),
            "PROMETHEUS_PORT": str(self.prometheus_port),
            "NGINX_IMAGE": STAND_IN_NAME,
            "PROMETHEUS_IMAGE": STAND_IN_NAME,
            **os.environ,
        }

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._command, *arguments],
            env=self._variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def states(self) -> dict[str, str]:
        """State of health of each container by its service, and of those without one "running"."""
        identities = self.run("ps", "-q").split()
        inspected = json.loads(
            subprocess.run(
                ["docker", "inspect", *identities], capture_output=True, text=True, check=True
            ).stdout
        )
        return {
            each["Config"]["Labels"]["com.docker.compose.service"]: each["State"]
            .get("Health", {})
            .get("Status", each["State"]["Status"])
            for each in inspected
        }

    def query(self, expression: str) -> dict[str, float]:
        """What Prometheus answers, by server."""
        address = f"http://127.0.0.1:{self.prometheus_port}/api/v1/query?"
        address += urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310 - always http
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return {each["metric"]["instance"]: float(each["value"][1]) for each in found}


@pytest.fixture
def compose(image: Image, tiny_repository: Path) -> Iterator[Compose]:
    if not {"NGINX_IMAGE", "PROMETHEUS_IMAGE"} <= set(os.environ):
        subprocess.run(
            ["docker", "build", "-q", "--network", "host", "-t", STAND_IN_NAME, "-"],
            input=STAND_IN.format(image=image.name),
            text=True,
            capture_output=True,
            check=True,
        )
    services = Compose(image, tiny_repository)
    try:
        services.run("up", "-d", "--no-build", *services.servers, "load-balancer", "prometheus")
        yield services
    finally:
        services.run("down", "-v", "-t", "5")


def test_the_services_come_up_work_together_and_outlast_a_server(compose: Compose) -> None:
    watched = {f"server-{number}:8002" for number in (1, 2)}
    wait_until(lambda: set(compose.states().values()) == {"healthy"})
    with Detector(f"127.0.0.1:{compose.grpc_port}", "tiny") as detector:
        with ClientTraffic(detector) as traffic:
            # Both servers are sent something, and both tell Prometheus so.
            wait_until(
                lambda: (
                    {
                        server
                        for server, images in compose.query(
                            "sum by (instance) (framewire_images_total)"
                        ).items()
                        if images > 10
                    }
                    == watched
                )
            )
            compose.run("kill", compose.servers[1])
            traffic.wait_for_more()
            wait_until(lambda: compose.query("up")["server-2:8002"] == 0)
            traffic.wait_for_more()
        assert traffic.failures == []
    assert compose.query("up")["server-1:8002"] == 1
