"""Running ``framewire serve`` as a user does: a process, a ready line, a signal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from builder.serving.ports import free_ports
from builder.serving.shared_memory import SHM_FOLDER

READY_TIMEOUT_S = 120
# Longer than it may drain, and Triton may take to end.
STOP_TIMEOUT_S = 90


def framewire(*arguments: str) -> list[str]:
    """The command line of ``framewire`` in this environment."""
    return [sys.executable, "-m", "builder.cli", *arguments]


PORTS = ("--grpc-port", "--http-port", "--metrics-port")


def port_options() -> tuple[list[str], int]:
    """Options for three free ports, and the gRPC port."""
    ports = free_ports(3)
    return _options(PORTS, ports), ports[0]


def serve_port_options() -> tuple[list[str], int]:
    """The same for a command that serves and is supervised: one port more, for health."""
    ports = free_ports(4)
    return _options((*PORTS, "--health-port"), ports), ports[0]


def _options(options: tuple[str, ...], ports: list[int]) -> list[str]:
    return [
        text for option, port in zip(options, ports, strict=True) for text in (option, str(port))
    ]


class Serving:
    """A ``framewire serve``, or ``framewire start``, and what it printed."""

    def __init__(self, repository: Path, *options: str, command: str = "serve") -> None:
        self.repository = repository
        ports = free_ports(4)
        self.grpc_port, self.http_port, self.metrics_port, self.health_port = ports
        port_options = _options(PORTS, ports[:3])
        if "--no-supervise" not in options:
            port_options += ["--health-port", str(self.health_port)]
        self.url = f"127.0.0.1:{self.grpc_port}"
        self.process = subprocess.Popen(
            framewire(command, "--repository", str(repository), *port_options, *options),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.errors: list[str] = []
        self._error_reader = threading.Thread(target=self._read_errors, daemon=True)
        self._error_reader.start()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(self.process.stderr)

    def wait_until_ready(self) -> str:
        """The ready line; fails the test with what the server said when there is none."""
        assert self.process.stdout is not None
        watchdog = threading.Timer(READY_TIMEOUT_S, self.process.kill)
        watchdog.start()
        line = self.process.stdout.readline()
        watchdog.cancel()
        assert line.startswith("ready: "), (line, self.error_text())
        return line

    def wait(self) -> int:
        """The exit code, when it ends by itself or was signalled."""
        code = self.process.wait(STOP_TIMEOUT_S)
        self._error_reader.join(5)
        return code

    def error_text(self) -> str:
        if self.process.poll() is not None:
            self._error_reader.join(5)
        return "".join(self.errors)

    def triton_pid(self) -> int:
        """The process id of tritonserver."""
        return int(children(self.process.pid)[0])

    def model_pids(self, model: str) -> list[int]:
        """The process ids of a Python model."""
        return [pid for pid in children(self.triton_pid()) if model_of(pid) == model]

    def ready(self, path: str = "/readyz") -> tuple[int, dict[str, Any]]:
        """What the supervisor's endpoint answers: status and JSON."""
        connection = HTTPConnection("127.0.0.1", self.health_port, timeout=10)
        with closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self._ended()

    def end(self) -> None:
        """Stop it without the seconds in which Triton parts from its models one by one."""
        if self.process.poll() is None:
            groups = children(self.process.pid)
            # In this order, or it would say that Triton was killed.
            self.process.send_signal(signal.SIGTERM)
            for group in groups:
                with suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)
        self._ended()

    def _ended(self) -> int:
        try:
            return self.wait()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            for pipe in (self.process.stdout, self.process.stderr):
                assert pipe is not None
                pipe.close()
            if self.process.returncode == -signal.SIGKILL:
                # It could not clean up after itself.
                for region in shared_memory_of(self.process.pid):
                    (SHM_FOLDER / region).unlink(missing_ok=True)


@contextmanager
def serving(repository: Path, *options: str) -> Iterator[Serving]:
    server = Serving(repository, *options)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.end()


def children(pid: int) -> list[int]:
    """Process ids of the children of a process."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # a thread that ended meanwhile
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def model_of(stub: int) -> str:
    """The model that a child of tritonserver runs; "" where it runs none."""
    with suppress(OSError, IndexError):
        return Path(Path(f"/proc/{stub}/cmdline").read_text().split("\0")[1]).parts[-3]
    return ""


def running(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def shared_memory_of(serve_pid: int) -> list[str]:
    """Shared-memory regions that a ``framewire serve`` made and that are still there."""
    return [region.name for region in SHM_FOLDER.glob(f"framewire_{serve_pid}_*")]
