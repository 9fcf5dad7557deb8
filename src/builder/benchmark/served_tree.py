"""``framewire serve`` of a tree of sources, run by its own code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder.benchmark.perf_analyzer import Target
from builder.errors import BenchmarkError
from builder.serving.ports import free_ports
from builder.serving.server_options import LOOPBACK

STARTING_S = 180
ENDING_S = 60


@dataclass(frozen=True)
class ServedTree:
    """A running one.

    Attributes:
        target: its addresses.
        pid: of ``framewire serve``.
    """

    target: Target
    pid: int


@contextmanager
def served_tree(tree: Path | None, repository: Path, log_file: Path) -> Iterator[ServedTree]:
    """Serve a repository on free ports of the loopback as users do, supervision included.

    Args:
        tree: the root of the sources whose code serves; None for the code that runs this.
        repository: to serve.
        log_file: for what it says.

    Raises:
        BenchmarkError: it does not start.
    """
    ports = free_ports(4)
    options = ("--grpc-port", "--http-port", "--metrics-port", "--health-port")
    command = [sys.executable, "-m", "builder.cli", "serve", "--repository", str(repository)]
    for option, port in zip(options, ports, strict=True):
        command += [option, str(port)]
    environment = dict(os.environ)
    if tree is not None:
        environment["PYTHONPATH"] = os.pathsep.join((str(tree / "src"), str(tree)))
    with (
        log_file.open("wb") as log,
        subprocess.Popen(
            command, env=environment, cwd=tree, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            _wait_until_ready(process, log_file)
            yield ServedTree(
                Target(f"{LOOPBACK}:{ports[0]}", f"{LOOPBACK}:{ports[2]}/metrics"), process.pid
            )
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(ENDING_S)
            finally:
                process.kill()


def _wait_until_ready(process: subprocess.Popen[str], log_file: Path) -> None:
    assert process.stdout is not None  # noqa: S101 - a pipe
    watchdog = threading.Timer(STARTING_S, process.kill)
    watchdog.start()
    try:
        line = process.stdout.readline()
    finally:
        watchdog.cancel()
    if not line.startswith("ready: "):
        raise BenchmarkError(f"the server did not start: see {log_file}")
