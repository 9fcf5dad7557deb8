"""Commands that are killed by SIGKILL before one of their changes to the file system.

Run as a module it is a process that has everything imported and forks once for each command, so
that a test can kill a command at every step.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from builder.cli import main as framewire
from builder.pipelines import durable, publication, version_switch
from tests.conftest import ROOT

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate"}
# Of the many like steps in the staging folder, before and after the change itself.
MINOR_STEPS_AT_ONCE = 30


class Killer:
    """Runs ``framewire`` commands and kills them."""

    def __enter__(self) -> Killer:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.killing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def run(self, step: int, *arguments: str) -> int:
        """Kill ``framewire ARGUMENTS`` before its ``step``-th change; -9, or its exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([step, arguments]) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def die_at(step: int) -> None:
    """Have this process kill itself before its ``step``-th change to the file system."""
    left, minor = step, 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left, minor
        if not _changes(event, arguments):
            return
        if _is_minor(event, arguments):
            minor += 1
            if minor % MINOR_STEPS_AT_ONCE:
                return
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    sys.addaudithook(count)


def _changes(event: str, arguments: tuple[Any, ...]) -> bool:
    if event == "open":
        path, _, flags = arguments
        if not isinstance(path, (str, os.PathLike)) or "__pycache__" in os.fspath(path):
            return False
        return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return event in CHANGES


def _is_minor(event: str, arguments: tuple[Any, ...]) -> bool:
    path = Path(os.fsdecode(arguments[0]))
    return event != "os.rename" and (not path.is_absolute() or "models" in path.parts)


def main() -> None:
    # A kill, unlike a power cut, loses nothing that was written.
    for module in (durable, publication, version_switch):
        for flush in ("flush", "flush_tree"):
            setattr(module, flush, lambda _: None)
    version_switch.LOOK_S = 0
    for line in sys.stdin:
        step, arguments = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            die_at(step)
            os._exit(framewire(arguments))
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
