"""Looking at a machine and a server twice and more, for what they do in between."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.benchmark.server_work import ModelWork, Statistics, work_between
from builder.doctor.finding import CannotLook
from builder.doctor.processes import TICKS_PER_S, cpu_seconds_of_all
from builder.doctor.server import RunningTriton

# Of the machine's line in /proc/stat (proc(5)): from user to stolen time; idle, and waiting for
# disks.
TIME_FIELDS, IDLE_FIELDS = slice(1, 9), slice(4, 6)


@dataclass(frozen=True)
class Watched:
    """What happened while it was watched.

    Attributes:
        seconds: it was watched for.
        machine_cores: of the machine, whether or not they may be used.
        busy_cores: that were busy, on average.
        process_cores: that each process kept busy, on average.
        work: of the server's models in all of the time, by Triton's names of them.
        looks: Triton's statistics at the beginning, in the middle and at the end.
        unseen: why there is no work to look at; None when there is, or no server.
    """

    seconds: float
    machine_cores: int
    busy_cores: float
    process_cores: Mapping[int, float]
    work: Mapping[str, ModelWork]
    looks: tuple[Statistics, ...]
    unseen: str | None


def watch(server: RunningTriton | None, seconds: float) -> Watched:
    """Watch for some seconds."""
    unseen, looks = None, list[Statistics]()
    began, busy, used = time.monotonic(), _busy_seconds(), cpu_seconds_of_all()
    for look in range(3):
        if look:
            time.sleep(seconds / 2)
        if server is not None and unseen is None:
            try:
                looks.append(server.statistics())
            except CannotLook as reason:
                unseen = str(reason)
    took, busy_now = time.monotonic() - began, _busy_seconds()
    cores = {pid: (now - used.get(pid, now)) / took for pid, now in cpu_seconds_of_all().items()}
    whole = len(looks) == 3
    return Watched(
        seconds=took,
        machine_cores=os.cpu_count() or 1,
        busy_cores=(busy_now - busy) / took,
        process_cores=cores,
        work=_by_model(looks[0], looks[2]) if whole else {},
        looks=tuple(looks) if whole else (),
        unseen=unseen,
    )


def _by_model(before: Statistics, after: Statistics) -> dict[str, ModelWork]:
    """Return the work of each model, of the version that did most of it where there are several."""
    found: dict[str, ModelWork] = {}
    for work in work_between(before, after):
        # One that was loaded anew in between counts from nothing.
        if work.images >= max(0, found[work.model].images if work.model in found else 0):
            found[work.model] = work
    return found


def _busy_seconds() -> float:
    """Return the CPU seconds of the whole machine that were not idle, since it started."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    busy = sum(map(int, fields[TIME_FIELDS])) - sum(map(int, fields[IDLE_FIELDS]))
    return busy / TICKS_PER_S
