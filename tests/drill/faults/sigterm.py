"""SIGTERM under load: to a server alone, and to one of two after the other."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.drill.load import AT_ONCE, Load
from tests.drill.memory import MemoryWatch
from tests.drill.outcome import Outcome
from tests.drill.repositories import NAME, waiting_repository
from tests.drill.scale import Scale
from tests.drill.servers import Pair, served
from thin_client import PipelineNotReady, ServerUnreachable

TIMES_LONG, TIMES_SHORT = 20, 1
# The network takes its time, so that requests are on their way through every step.
DELAY_MS = 40
MAX_BATCH = 4
# What Triton answers at the door, about the model that was called. Further in it would name a step.
AT_THE_DOOR = tuple(f"unknown model: '{model}' has no available" for model in (NAME, f"{NAME}_bls"))
# A connection to a server that has ended; nothing was accepted there.
NOBODY_THERE = "the connection is refused"


def run(scale: Scale, folder: Path) -> Outcome:
    """Stop servers under load; what they have accepted must be answered."""
    times = scale.of(TIMES_LONG, TIMES_SHORT)
    outcome = Outcome(f"{times} x SIGTERM of one server alone, {2 * times} x of one of two")
    repository = waiting_repository(folder, delay_ms=DELAY_MS, max_batch=MAX_BATCH)
    for _ in range(times):
        _stop_one(repository, outcome)
    _stop_one_of_two(repository, times, outcome)
    return outcome


def _stop_one(repository: Path, outcome: Outcome) -> None:
    """Each thread calls without retrying until it is refused, which must be at the door."""
    refusals = (PipelineNotReady, ServerUnreachable)
    options = {"retry": AT_ONCE, "refusals": refusals, "until_refused": True}
    with served(repository) as server, MemoryWatch(lambda: [server]) as watch:
        with (
            Load(server.url, threads=4, **options) as load,  # type: ignore[arg-type]
            Load(server.url, bls=True, threads=4, **options) as load_bls,  # type: ignore[arg-type]
        ):
            load.wait_for_more(20)
            load_bls.wait_for_more(20)
            server.process.send_signal(signal.SIGTERM)
            load.wait_until_refused()
            load_bls.wait_until_refused()
        code = server.terminate() if server.process.poll() is None else server.process.poll()
        outcome.expect(code == 0, f"the server ended with {code}: {server.error_text()[-300:]}")
    outcome.peak_mb = max(watch.peak_mb, outcome.peak_mb or 0.0)
    for each in (load, load_bls):
        each.tally.into(outcome)
        for sentence, count in each.tally.sentences.items():
            told = any(words in sentence for words in (*AT_THE_DOOR, NOBODY_THERE))
            if sentence.startswith("refused: ") and not told:
                outcome.lost += count
                outcome.refused -= count
                outcome.broken.append(f"{count} accepted requests were refused: {sentence}")


def _stop_one_of_two(repository: Path, times: int, outcome: Outcome) -> None:
    """Servers are stopped and started again in turn; a client of both must not notice."""
    with (
        Pair(repository) as pair,
        Load(pair.url, threads=4) as load,
        Load(pair.url, bls=True, threads=4) as load_bls,
    ):
        for _ in range(times):
            for number in range(2):
                pair.renew(number)
                load.wait_for_more(20)
                load_bls.wait_for_more(20)
    load.tally.into(outcome)
    load_bls.tally.into(outcome)
