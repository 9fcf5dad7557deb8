"""How busy GPUs are and how full, from nvidia-smi while something else runs.

nvidia-smi rather than NVML's Python package: it comes with every driver, and one process of it that
repeats its query is all there is to run.
"""

from __future__ import annotations

import csv
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from builder.errors import BenchmarkError

PROGRAM = "nvidia-smi"
FIELDS = ("index", "name", "utilization.gpu", "memory.used", "memory.total", "power.draw")
QUERY = (f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits")
PERIOD_MS = 500
ANSWER_S = 60


@dataclass(frozen=True)
class GpuSample:
    """One look at one GPU; None is what it does not tell, as a slice of a GPU does not.

    Attributes:
        index: as nvidia-smi counts.
        name: of the model.
        busy_percent: of the time in which a kernel ran.
        used_mib: memory in use, by all processes.
        total_mib: memory it has.
        power_w: drawn.
    """

    index: int
    name: str
    busy_percent: float | None
    used_mib: float | None
    total_mib: float | None
    power_w: float | None


@dataclass
class GpuWatch:
    """What was seen of the GPUs; complete when the watch has ended."""

    samples: tuple[GpuSample, ...] = field(default=())


def gpus() -> tuple[GpuSample, ...]:
    """Return the GPUs of this machine as they are now.

    Raises:
        BenchmarkError: there is none.
    """
    try:
        listed = subprocess.run(
            [PROGRAM, *QUERY],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=ANSWER_S,
        )
    except FileNotFoundError:
        why = "nvidia-smi is not installed"
    except (OSError, subprocess.TimeoutExpired) as error:
        why = f"nvidia-smi does not answer ({type(error).__name__})"
    else:
        if listed.returncode == 0 and (found := read_gpus(listed.stdout.splitlines())):
            return found
        said = (listed.stdout + listed.stderr).strip().splitlines() or ["it names none"]
        why = f"nvidia-smi: {said[0]}"
    raise BenchmarkError(
        f"there is no GPU to measure here ({why}): leave out --gpu, or run this on the machine "
        "that has one"
    )


@contextmanager
def watching_gpus(csv_file: Path) -> Iterator[GpuWatch]:
    """Look at all GPUs twice a second, until the block is left.

    Args:
        csv_file: where nvidia-smi's lines are kept.
    """
    watch = GpuWatch()
    with tempfile.TemporaryFile("w+") as said:
        with subprocess.Popen(
            [PROGRAM, *QUERY, f"--loop-ms={PERIOD_MS}"],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                yield watch
            finally:
                process.kill()
        said.seek(0)
        text = said.read()
    # The last line may be half a line.
    whole = text[: text.rfind("\n") + 1]
    csv_file.write_text(f"{','.join(FIELDS)}\n{whole}")
    watch.samples = read_gpus(whole.splitlines())


def read_gpus(lines: Sequence[str]) -> tuple[GpuSample, ...]:
    """Read what nvidia-smi answers, a line for each GPU; leave out what is no such line."""
    found = []
    for cells in csv.reader(lines, skipinitialspace=True):
        if len(cells) == len(FIELDS) and cells[0].isdigit():
            index, name, *values = cells
            found.append(GpuSample(int(index), name, *map(_number, values)))
    return tuple(found)


def gpu_rows(samples: Sequence[GpuSample]) -> tuple[tuple[str, ...], ...]:
    """Return a row for each GPU: its name, mean and highest utilisation, memory, mean power."""
    rows = []
    for index in sorted({each.index for each in samples}):
        of_gpu = [each for each in samples if each.index == index]
        busy = [each.busy_percent for each in of_gpu if each.busy_percent is not None]
        used = [each.used_mib for each in of_gpu if each.used_mib is not None]
        power = [each.power_w for each in of_gpu if each.power_w is not None]
        total = of_gpu[0].total_mib
        rows.append(
            (
                f"{index}: {of_gpu[0].name}",
                f"{statistics.mean(busy):.0f}" if busy else "-",
                f"{max(busy):.0f}" if busy else "-",
                f"{max(used):.0f}" if used else "-",
                f"{total:.0f}" if total is not None else "-",
                f"{statistics.mean(power):.0f}" if power else "-",
            )
        )
    return tuple(rows)


def _number(cell: str) -> float | None:
    # "[N/A]" or "[Not Supported]"
    try:
        return float(cell)
    except ValueError:
        return None
