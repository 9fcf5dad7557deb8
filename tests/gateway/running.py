"""Running ``framewire gateway`` as a user does: a process, a ready line, a signal."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.serving import framewire

PATIENCE_S = 60


class Gateway:
    """A ``framewire gateway`` on a free port of loopback, and what it printed."""

    def __init__(self, upstream: str, *options: str, environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            framewire("gateway", "--port", "0", "--url", upstream, *options),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self.errors: list[str] = []
        self._error_reader = threading.Thread(target=self._read_errors, daemon=True)
        self._error_reader.start()
        assert self.process.stdout is not None
        watchdog = threading.Timer(PATIENCE_S, self.process.kill)
        watchdog.start()
        self.ready_line = self.process.stdout.readline()
        watchdog.cancel()
        found = re.match(r"ready: (https?)://[\d.]+:(\d+)/ for .+ at ", self.ready_line)
        if found is None:
            self.process.kill()
            self.process.wait()
        assert found, (self.ready_line, self.error_text())
        self.scheme, self.port = found[1], int(found[2])
        self.url = f"{self.scheme}://127.0.0.1:{self.port}"
        self.frames_url = f"{self.scheme.replace('http', 'ws')}://127.0.0.1:{self.port}/frames"

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(self.process.stderr)

    def error_text(self) -> str:
        if self.process.poll() is not None:
            self._error_reader.join(5)
        return "".join(self.errors)

    def get(
        self, path: str, context: ssl.SSLContext | None = None, **headers: str
    ) -> tuple[int, str]:
        """Status and text of an answer."""
        return ask(f"{self.url}{path}", None, headers, context)

    def post(self, body: bytes, query: str = "", **headers: str) -> tuple[int, dict[str, Any]]:
        """Status and JSON of the answer to an image."""
        status, text = ask(f"{self.url}/detect{query}", body, headers)
        return status, json.loads(text)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE_S)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self._error_reader.join(5)
            for pipe in (self.process.stdout, self.process.stderr):
                assert pipe is not None
                pipe.close()


def ask(
    url: str,
    body: bytes | None,
    headers: Mapping[str, str],
    context: ssl.SSLContext | None = None,
) -> tuple[int, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(  # noqa: S310 - of a gateway that the test started
        url, body, {"Content-Type": "image/jpeg", **named}
    )
    try:
        with urllib.request.urlopen(  # noqa: S310
            request, timeout=PATIENCE_S, context=context
        ) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@contextmanager
def gateway(
    upstream: str, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[Gateway]:
    running = Gateway(upstream, *options, environment=environment or {})
    try:
        yield running
    finally:
        running.stop()
