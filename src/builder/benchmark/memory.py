"""Memory of a running Triton: the server itself, every Python model, and what they share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from builder.benchmark.processes import SERVER
from builder.errors import BenchmarkError
from builder.serving.model_processes import stubs
from builder.serving.shared_memory import SHM_FOLDER

SHARED = "shared memory"
KB_IN_MB = 1024
# The unit of st_blocks (stat(2)).
BLOCK_BYTES = 512
# Of /proc/PID/status (proc(5)), in kB. RssShmem is left out: every process that maps a region
# counts it, and the regions have a line of their own.
OWN_MEMORY = re.compile(r"^(?:RssAnon|RssFile):\s+(\d+) kB$", re.MULTILINE)
MAPPED_REGION = re.compile(rf"({re.escape(str(SHM_FOLDER))}/.+?)(?: \(deleted\))?$", re.MULTILINE)
# Until then allocators and queues still fill up.
SETTLING_SHARE = 0.1
S_IN_HOUR = 3600


@dataclass(frozen=True)
class MemorySample:
    """One look at a server.

    Attributes:
        seconds: since the load began.
        images: answered since then, by public model.
        memory_mb: of each process, by its model's name, and of the shared memory, in MB of 2**20
            bytes.
    """

    seconds: float
    images: dict[str, int]
    memory_mb: dict[str, float]


@dataclass(frozen=True)
class Growth:
    """What became of one process's memory, in MB.

    Attributes:
        process: its name.
        settled_mb: after the first tenth of the run.
        end_mb: at the end.
        slope_mb_per_h: of the straight line that fits all samples between the two best, by least
            squares.
        highest_mb: of the whole run.
    """

    process: str
    settled_mb: float
    end_mb: float
    slope_mb_per_h: float
    highest_mb: float

    @property
    def percent(self) -> float:
        """How much more it is at the end than after the first tenth."""
        return (self.end_mb / self.settled_mb - 1) * 100 if self.settled_mb else 0.0


def memory_mb(triton_pid: int) -> dict[str, float]:
    """Return the resident memory of each process of a Triton, and of what they share.

    Anonymous pages and pages of files; a library that several processes map counts in each. The
    regions in /dev/shm, through which the processes pass tensors, count once, by themselves.

    Raises:
        BenchmarkError: there is no such process.
    """
    found = {SERVER: process_memory_mb(triton_pid)}
    for pid, served in sorted(stubs(triton_pid).items(), key=lambda each: each[1].model):
        found[served.model] = found.get(served.model, 0.0) + process_memory_mb(pid)
    return {**found, SHARED: _regions_mb(triton_pid)}


def process_memory_mb(pid: int) -> float:
    """Return the resident memory of one process without shared memory, in MB of 2**20 bytes.

    Raises:
        BenchmarkError: there is no such process.
    """
    with suppress(OSError):
        # A process that has died but was not yet waited for has no memory.
        if found := OWN_MEMORY.findall(Path(f"/proc/{pid}/status").read_text()):
            return sum(map(int, found)) / KB_IN_MB
    raise BenchmarkError(
        f"process {pid} of the server ended while it was measured: see the server's log"
    )


def growth(samples: Sequence[MemorySample]) -> tuple[Growth, ...]:
    """Return what became of the memory of every process.

    Raises:
        BenchmarkError: there are fewer than two samples after the first tenth.
    """
    end_s = samples[-1].seconds if samples else 0.0
    settled = [each for each in samples if each.seconds >= SETTLING_SHARE * end_s]
    if len(settled) < 2:
        raise BenchmarkError(
            f"memory was looked at {len(samples)} times only: give --soak more minutes"
        )
    hours = [each.seconds / S_IN_HOUR for each in settled]

    def of(process: str) -> Growth:
        values = [each.memory_mb[process] for each in settled]
        highest = max(each.memory_mb[process] for each in samples)
        return Growth(process, values[0], values[-1], _slope(hours, values), highest)

    return tuple(of(process) for process in samples[-1].memory_mb)


def _slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    covariance = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True))
    return covariance / sum((x - x_mean) ** 2 for x in xs)


def _regions_mb(triton_pid: int) -> float:
    """Return what the regions take that a Triton has mapped; pages nobody touched take nothing."""
    try:
        mapped = Path(f"/proc/{triton_pid}/maps").read_text()
    except OSError as error:
        raise BenchmarkError(
            f"process {triton_pid} of the server ended while it was measured: see the server's log"
        ) from error
    size = 0
    for name in set(MAPPED_REGION.findall(mapped)):
        with suppress(OSError):  # unlinked meanwhile
            size += Path(name).stat().st_blocks * BLOCK_BYTES
    return size / 2**20
