"""Proportional set size (PSS) of a server: what its processes take, shared pages by their share."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from builder.benchmark.processes import SERVER
from builder.errors import BenchmarkError
from builder.serving.model_processes import stubs
from builder.serving.process_files import read, tasks

SERVE = "framewire serve"
KB_IN_MB = 1024
# Of /proc/PID/smaps_rollup (proc(5)), in kB.
PSS = re.compile(r"^Pss:\s+(\d+) kB$", re.MULTILINE)


def proportional_memory_mb(serve_pid: int) -> dict[str, float]:
    """Return the PSS of a ``framewire serve``, its Triton and every model, in MB of 2**20 bytes.

    Processes of one model are one number. A page that several processes of this machine map counts
    in each by its share, so that pages that only this server maps are whole in the sum. Regions in
    /dev/shm are such.

    Raises:
        BenchmarkError: there is no such process, or it has no Triton.
    """
    triton_pid = triton_of(serve_pid)
    found = {SERVE: pss_mb(serve_pid), SERVER: pss_mb(triton_pid)}
    for pid, served in sorted(stubs(triton_pid).items(), key=lambda each: each[1].model):
        found[served.model] = found.get(served.model, 0.0) + pss_mb(pid)
    return found


def pss_mb(pid: int) -> float:
    """Return the PSS of one process in MB of 2**20 bytes.

    Raises:
        BenchmarkError: there is no such process.
    """
    with suppress(OSError):
        if found := PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text()):
            return int(found.group(1)) / KB_IN_MB
    raise BenchmarkError(
        f"process {pid} of the server ended while it was measured: see the server's log"
    )


def triton_of(serve_pid: int) -> int:
    """Return the process id of the Triton of a ``framewire serve``.

    Raises:
        BenchmarkError: it has none that has loaded a model.
    """
    with suppress(OSError):
        for task in tasks(serve_pid):
            for child in read(serve_pid, f"task/{task}/children").split():
                if stubs(int(child)):
                    return int(child)
    raise BenchmarkError(f"process {serve_pid} serves no models: see the server's log")
