"""CPU time of a running Triton: the server itself and the process of every Python model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from builder.errors import BenchmarkError
from builder.serving.model_processes import stubs

SERVER = "tritonserver"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Fields of /proc/PID/stat after the command's name (proc(5)): user and system time in ticks.
USER_FIELD, SYSTEM_FIELD = 11, 12


def cpu_seconds(triton_pid: int) -> dict[str, float]:
    """Return the CPU seconds, user and system, that each process of a Triton has used.

    Processes bear the name of their model, those of several instances or versions together, and the
    server itself that of its program. The clock's tick is usually 10 ms.

    Raises:
        BenchmarkError: there is no such process.
    """
    seconds = {SERVER: process_cpu_seconds(triton_pid)}
    for pid, served in stubs(triton_pid).items():
        seconds[served.model] = seconds.get(served.model, 0.0) + process_cpu_seconds(pid)
    return seconds


def process_cpu_seconds(pid: int) -> float:
    """Return the CPU seconds, user and system, of a process and all its threads.

    Raises:
        BenchmarkError: there is no such process.
    """
    try:
        # The name stands in parentheses and may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError as error:
        raise BenchmarkError(
            f"process {pid} of the server ended while it was measured: see the server's log"
        ) from error
    return (int(fields[USER_FIELD]) + int(fields[SYSTEM_FIELD])) / TICKS_PER_S


def cpu_ms_per_image(
    before: Mapping[str, float], after: Mapping[str, float], images: int
) -> dict[str, float]:
    """Return the CPU milliseconds each process spent on an image, between two looks.

    Raises:
        BenchmarkError: no image was answered in between.
    """
    if images < 1:
        raise BenchmarkError(
            "the server answered no image while it was measured: see the server's log"
        )
    return {name: (after[name] - before.get(name, 0.0)) * 1e3 / images for name in after}
