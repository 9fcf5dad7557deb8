"""``framewire-client stream`` with many sources as a process, and what it prints."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE_S = 30
Line = dict[str, Any]


class Client:
    """A running client; its lines of JSON are read as they come."""

    def __init__(self, url: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "thin_client.cli", "stream", "--url", url, "--json", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[Line] = []
        self.errors: list[str] = []
        self._coming: queue.Queue[Line | None] = queue.Queue()
        self._readers = [
            threading.Thread(target=work, daemon=True) for work in (self._read, self._read_errors)
        ]
        for reader in self._readers:
            reader.start()

    def write(self, line: str) -> None:
        """A line on its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def until(self, wanted: Callable[[Line], bool]) -> Line:
        """Read on until there is such a line, and return it."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            line = self._next()
            if wanted(line):
                return line
            states = [each for each in self.lines if "state" in each]
            assert time.monotonic() < deadline, (states, "".join(self.errors))

    def until_state(self, source: str, state: str) -> Line:
        """The line that says so, unless the last one that was read of the source did."""
        said = [line for line in self.lines if line["source"] == source and "state" in line]
        if said and said[-1]["state"] == state:
            return said[-1]
        return self.until(lambda line: line["source"] == source and line.get("state") == state)

    def frames(self, source: str, count: int) -> list[Line]:
        """The next frames of a source."""
        return [
            self.until(lambda line: line["source"] == source and "timestamp_us" in line)
            for _ in range(count)
        ]

    def _next(self) -> Line:
        try:
            line = self._coming.get(timeout=PATIENCE_S)
        except queue.Empty:
            line = None
        assert line is not None, (self.lines[-3:], "".join(self.errors))
        self.lines.append(line)
        return line

    def _read(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            self._coming.put(json.loads(text))
        self._coming.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(self.process.stderr)

    def end(self) -> int:
        """Let it end by itself and read everything; return its exit code."""
        code = self.process.wait(PATIENCE_S)
        while (line := self._coming.get(timeout=PATIENCE_S)) is not None:
            self.lines.append(line)
        return code

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


@contextmanager
def client(url: str, *arguments: str) -> Iterator[Client]:
    running = Client(url, *arguments)
    try:
        yield running
    finally:
        running.close()
