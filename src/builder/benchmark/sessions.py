"""Programs that start others: all processes of a session, their CPU time, their end."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from builder.benchmark.processes import process_cpu_seconds
from builder.errors import BenchmarkError

# Fields of /proc/PID/stat after the command's name (proc(5)).
STATE_FIELD, SESSION_FIELD = 0, 3
ENDED_STATES = frozenset("ZX")
LOOK_S = 0.02


def session_processes(leader: int) -> list[int]:
    """Return the process ids of a session, those left out that have ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # The name stands in parentheses and may hold anything.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[SESSION_FIELD]) == leader and fields[STATE_FIELD] not in ENDED_STATES:
                found.append(int(folder.name))
    return found


def session_cpu_seconds(leader: int) -> float:
    """Return the CPU seconds, user and system, of all processes of a session together.

    Raises:
        BenchmarkError: its leader is gone.
    """
    others = 0.0
    for pid in session_processes(leader):
        if pid != leader:
            # One that ends between two looks takes its seconds with it.
            with suppress(BenchmarkError):
                others += process_cpu_seconds(pid)
    return process_cpu_seconds(leader) + others


def end_session(leader: int, patience_s: float) -> None:
    """Ask all processes of a session to end, and end those that do not."""
    for number, until in ((signal.SIGTERM, patience_s), (signal.SIGKILL, patience_s)):
        end = time.monotonic() + until
        for pid in session_processes(leader):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        while session_processes(leader):
            if time.monotonic() > end:
                break
            time.sleep(LOOK_S)
        else:
            return
