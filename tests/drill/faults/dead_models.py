"""SIGKILL and SIGSTOP for the process of each Python model, under load."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.drill.healing import PAUSE_S, SUPERVISION, Patient
from tests.drill.load import Load
from tests.drill.memory import MemoryWatch
from tests.drill.outcome import Outcome
from tests.drill.repositories import NAME, tiny_repository
from tests.drill.scale import Scale
from tests.drill.servers import Pair, Server, supervised
from thin_client.contract import model_names

TIMES_LONG, TIMES_SHORT = 20, 1
SIGNALS = (signal.SIGKILL, signal.SIGSTOP)


def run(scale: Scale, folder: Path) -> Outcome:
    """Kill or stop one process after the other; a client of two servers must not notice."""
    names = model_names(NAME)
    models = (
        names.preprocess,
        names.network,
        names.postprocess,
        names.bls,
        names.decode,
        names.detect,
    )
    times = scale.of(TIMES_LONG, TIMES_SHORT)
    outcome = Outcome(f"{times} x SIGKILL and SIGSTOP of each of {len(models)} models")
    if not supervised():
        outcome.broken.append("`framewire serve` has no supervisor")
        return outcome
    with (
        Pair(tiny_repository(folder, stream=True), *SUPERVISION) as pair,
        MemoryWatch(lambda: pair.servers) as watch,
        Load(pair.url, threads=2, pause_s=PAUSE_S) as load,
        Load(pair.url, bls=True, threads=2, pause_s=PAUSE_S) as load_bls,
    ):
        patient = Patient(pair, load, scale, outcome)
        for _ in range(times):
            for model in models:
                for number in SIGNALS:
                    patient.hurt(
                        f"{number.name} of {model}",
                        lambda server, model=model, number=number: _send(server, model, number),
                    )
        load.wait_for_more(100)
        load_bls.wait_for_more(100)
    load.tally.into(outcome)
    load_bls.tally.into(outcome)
    outcome.peak_mb = watch.peak_mb
    outcome.notes.append("peak MB is that of two servers")
    return outcome


def _send(server: Server, model: str, number: signal.Signals) -> None:
    os.kill(next(pid for pid, runs in server.models().items() if runs.model == model), number)
