"""A real Prometheus on the configuration of docker/prometheus, looking at a server of a test."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from builder.serving.ports import free_ports
from tests.conftest import ROOT

CONFIGURATION = ROOT / "docker" / "prometheus"
WAIT_S = 90


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self._url = url

    def api(self, path: str, **parameters: str) -> Any:
        """The ``data`` of an answer of its HTTP API."""
        address = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression returns now."""
        series: list[dict[str, Any]] = self.api("query", query=expression)["result"]
        return series

    def rules(self) -> dict[str, dict[str, Any]]:
        """Every rule by its name."""
        return {
            rule["name"]: rule for group in self.api("rules")["groups"] for rule in group["rules"]
        }

    def answers(self) -> bool:
        """Whether it has started."""
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=10):  # noqa: S310
                return True
        except OSError:  # an HTTP error is one, too
            return False


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, condition
        time.sleep(0.2)


@contextmanager
def prometheus(binary: str, folder: Path, targets: list[str]) -> Iterator[Prometheus]:
    """Run it as docker/compose.yaml does, but on other targets and in a quicker rhythm."""
    shutil.copytree(CONFIGURATION, folder)
    settings = yaml.safe_load((folder / "prometheus.yml").read_text())
    settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    (folder / "targets.yml").write_text(yaml.safe_dump([{"targets": targets}]))
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [
            binary,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ],
        stdin=subprocess.DEVNULL,
    )
    try:
        running = Prometheus(f"http://127.0.0.1:{port}")
        wait_until(lambda: process.poll() is None and running.answers())
        yield running
    finally:
        process.terminate()
        process.wait(30)
