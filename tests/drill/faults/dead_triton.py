"""kill -9 of Triton itself, under load."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from builder.serving.shared_memory import SHM_FOLDER
from tests.drill.healing import PAUSE_S, SUPERVISION, Patient
from tests.drill.load import Load
from tests.drill.memory import MemoryWatch
from tests.drill.outcome import Outcome
from tests.drill.repositories import tiny_repository
from tests.drill.scale import Scale
from tests.drill.servers import Pair, Server, supervised

TIMES_LONG, TIMES_SHORT = 20, 2


def run(scale: Scale, folder: Path) -> Outcome:
    """Kill tritonserver; it is started again, and a client of two servers loses nothing."""
    times = scale.of(TIMES_LONG, TIMES_SHORT)
    outcome = Outcome(f"{times} x kill -9 of tritonserver")
    if not supervised():
        outcome.broken.append("`framewire serve` has no supervisor")
        return outcome
    regions = set(SHM_FOLDER.glob("framewire_*"))
    with (
        Pair(tiny_repository(folder), *SUPERVISION) as pair,
        MemoryWatch(lambda: pair.servers) as watch,
        Load(pair.url, threads=4, pause_s=PAUSE_S) as load,
    ):
        patient = Patient(pair, load, scale, outcome)
        for _ in range(times):
            patient.hurt("kill -9 of Triton", _kill)
        load.wait_for_more(100)
        serving = {f"framewire_{server.process.pid}_" for server in pair.servers}
    load.tally.into(outcome)
    outcome.peak_mb = watch.peak_mb
    left = [
        region.name
        for region in set(SHM_FOLDER.glob("framewire_*")) - regions
        if region.name.startswith(tuple(serving))
    ]
    outcome.expect(not left, f"shared memory was left behind: {left[:3]}")
    outcome.notes.append("peak MB is that of two servers")
    return outcome


def _kill(server: Server) -> None:
    pid = server.triton_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
