"""Real servers of ``framewire serve``, and what can be asked of them and of their processes."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from builder.serving.model_processes import Served, stubs
from builder.serving.ports import free_ports
from tests.serving import children, framewire

READY_TIMEOUT_S = 120
STOP_TIMEOUT_S = 90
LOOK_S = 0.01
TRITON = "tritonserver"


@functools.cache
def supervised() -> bool:
    """Whether this ``framewire serve`` has a supervisor, and a port that says how it is."""
    said = subprocess.run(
        framewire("serve", "--help"), capture_output=True, text=True, check=True
    ).stdout
    return "--health-port" in said


class Server:
    """A ``framewire serve``.

    Args:
        repository: to serve.
        options: more of its options.
        environment: variables besides this process's own.
        before: a command that becomes ``framewire serve``, as ``unshare`` does.
        ports: gRPC, HTTP, metrics and health; free ones where none are given.
    """

    def __init__(
        self,
        repository: Path,
        *options: str,
        environment: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
        ports: Sequence[int] = (),
    ) -> None:
        self.ports = list(ports) or free_ports(4)
        self.grpc_port, self.http_port, self.metrics_port, self.health_port = self.ports
        self.url = f"127.0.0.1:{self.grpc_port}"
        names = ["--grpc-port", "--http-port", "--metrics-port"]
        if supervised():
            names.append("--health-port")
        numbers = (text for pair in zip(names, map(str, self.ports), strict=False) for text in pair)
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [*before, *framewire("serve", "--repository", str(repository), *numbers, *options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.said.extend(self.process.stderr)

    def wait_until_ready(self) -> None:
        """Wait for its ready line.

        Raises:
            RuntimeError: it ended, with what it said.
        """
        assert self.process.stdout is not None
        watchdog = threading.Timer(READY_TIMEOUT_S, self.process.kill)
        watchdog.start()
        line = self.process.stdout.readline()
        watchdog.cancel()
        if not line.startswith("ready: "):
            self.stop()
            raise RuntimeError(f"the server did not start: {''.join(self.said)[-2000:]}")

    def triton_pid(self) -> int | None:
        """The process id of ``tritonserver``; None while there is none."""
        for child in children(self.process.pid) if self.process.poll() is None else ():
            with suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text().strip() == TRITON:
                    return child
        return None

    def models(self) -> dict[int, Served]:
        """The process ids of Triton's Python models, and what each runs."""
        pid = self.triton_pid()
        return stubs(pid) if pid is not None else {}

    def processes(self) -> dict[int, str]:
        """All its processes: ids, and the names that people know them by."""
        names = {self.process.pid: "framewire serve"}
        for pid in descendants(self.process.pid):
            with suppress(OSError):
                names[pid] = Path(f"/proc/{pid}/comm").read_text().strip()
        return {**names, **{pid: served.model for pid, served in self.models().items()}}

    def readiness(self) -> tuple[int, dict[str, Any]]:
        """What ``/readyz`` answers: status and JSON; 0 and nothing when nobody answers."""
        return ask_json(f"http://127.0.0.1:{self.health_port}/readyz")

    def ready(self) -> bool:
        """Whether the server calls itself ready."""
        return self.readiness()[0] == 200

    def error_text(self) -> str:
        """What it said on stderr so far."""
        if self.process.poll() is not None:
            self._reader.join(5)
        return "".join(self.said)

    def terminate(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_TIMEOUT_S)

    def stop(self) -> None:
        """End it, whatever state it is in."""
        try:
            if self.process.poll() is None:
                self.terminate()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self._reader.join(5)
            for pipe in (self.process.stdout, self.process.stderr):
                assert pipe is not None
                pipe.close()


@contextmanager
def served(
    repository: Path,
    *options: str,
    environment: Mapping[str, str] | None = None,
    before: Sequence[str] = (),
) -> Iterator[Server]:
    """Serve a repository, ready, for as long as it is wanted."""
    server = Server(repository, *options, environment=environment, before=before)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


class Pair:
    """Two servers of the same repository, for clients that know both.

    Either can be replaced by a new one at its ports while the other goes on.

    Args:
        repository: of both.
        options: of ``framewire serve``.
    """

    def __init__(self, repository: Path, *options: str) -> None:
        self._repository, self._options = repository, options
        self.servers = [Server(repository, *options) for _ in range(2)]

    def __enter__(self) -> Pair:
        try:
            for server in self.servers:
                server.wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.servers:
            server.stop()

    @property
    def url(self) -> str:
        """A gRPC target that names both."""
        return "ipv4:" + ",".join(server.url for server in self.servers)

    def renew(self, number: int) -> None:
        """Stop one of them by SIGTERM and start it again."""
        self.servers[number].stop()
        ports = self.servers[number].ports
        self.servers[number] = Server(self._repository, *self._options, ports=ports)
        self.servers[number].wait_until_ready()


def descendants(pid: int) -> list[int]:
    """Process ids of the children of a process, and of theirs."""
    found = []
    with suppress(OSError):
        for child in children(pid):
            found += [child, *descendants(child)]
    return found


def seconds_until(condition: Callable[[], bool], limit_s: float) -> float | None:
    """Wait for a condition; return how long it took, None when it took longer."""
    begun = time.monotonic()
    while (waited_s := time.monotonic() - begun) < limit_s:
        if condition():
            return waited_s
        time.sleep(LOOK_S)
    return None


def ask_json(url: str, timeout_s: float = 2) -> tuple[int, dict[str, Any]]:
    """Ask over HTTP; return status and JSON, 0 and nothing when nobody answers in time."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:  # noqa: S310
            return answer.status, _json(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _json(error.read())
    except (OSError, urllib.error.URLError):
        return 0, {}


def _json(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
