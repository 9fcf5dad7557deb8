"""Calls whose clients hang up: nobody else may wait for them, and nothing is started again."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

from tests.drill.faults.overload import capacity
from tests.drill.impatient import ANSWERED, GIVEN_UP, REFUSED, VARIANTS, Wave, impatient
from tests.drill.load import SQUARES, Load
from tests.drill.memory import MemoryWatch
from tests.drill.outcome import Outcome
from tests.drill.repositories import NAME, slow_repository
from tests.drill.scale import Scale
from tests.drill.servers import Server, served
from thin_client import Detector

# A frame takes the network so long on each core, and needs none: of which clients have their share.
FRAME_S = 0.04
CALLS = (100, 400, 2000)
DEADLINES_S = (0.02, 0.05, 0.2)
# Clients that wait for their answers all the while, half of them on each variant.
PATIENT = 8
FIRST_CALL_S = 1.0
MEASURED_S = 3.0
OVERLOAD_LONG_S, OVERLOAD_SHORT_S = 60.0, 5.0
TIMES_CAPACITY, GIVE_UP_S = 3, 0.2
RECOVERED, RECOVERY_S = 0.9, 3.0
WINDOW_S = 1.0
WATCHED_S = 10.0


def run(scale: Scale, folder: Path) -> Outcome:
    """Send waves of calls that are given up, then three times more than the server can answer."""
    calls, deadlines = scale.of((CALLS, DEADLINES_S), ((400,), (0.05,)))
    waves = [
        Wave(variant, deadline_s, calls=count)
        for variant in VARIANTS
        for count in calls
        for deadline_s in deadlines
    ]
    outcome = Outcome(f"{len(waves)} waves of calls given up, {TIMES_CAPACITY} x capacity of them")
    repository = slow_repository(folder, FRAME_S)
    with (
        served(repository) as server,
        MemoryWatch(lambda: [server], lambda: int(time.monotonic() * 1e3)) as watch,
    ):
        triton = server.triton_pid()
        rate, _, in_flight = capacity(server, scale.of(MEASURED_S, MEASURED_S / 2))
        with ExitStack() as stack:
            patient = [
                stack.enter_context(Load(server.url, bls=bls, threads=PATIENT // 2))
                for bls in (False, True)
            ]
            for wave in waves:
                _send(server, wave, scale, outcome)
            overload_s = scale.of(OVERLOAD_LONG_S, OVERLOAD_SHORT_S)
            # Each client that gives up tries again at once.
            clients = max(PATIENT, round(TIMES_CAPACITY * rate * GIVE_UP_S))
            _send(server, Wave("ensemble", GIVE_UP_S, clients, seconds=overload_s), scale, outcome)
        for load in patient:
            load.tally.into(outcome)
        _recover(server, rate, in_flight, scale, outcome)
        outcome.expect(
            server.triton_pid() == triton and "restarting" not in server.error_text(),
            f"a server that works was started again: {server.error_text()[-300:]}",
        )
    outcome.peak_mb = watch.peak_mb
    outcome.notes.append(
        f"capacity {rate:.0f} calls/s with {in_flight} in flight; {clients} clients gave up after "
        f"{GIVE_UP_S * 1e3:.0f} ms and tried again for {overload_s:.0f} s"
    )
    return outcome


def _send(server: Server, wave: Wave, scale: Scale, outcome: Outcome) -> None:
    with impatient(server.url, NAME, wave) as clients:
        became = clients.result()
    answered, refused = became.pop(ANSWERED, 0), became.pop(GIVEN_UP, 0) + became.pop(REFUSED, 0)
    wrong = sum(became.values())
    outcome.sent += answered + refused + wrong
    outcome.answered += answered
    outcome.refused += refused
    outcome.lost += wrong
    outcome.expect(not wrong, f"{wrong} calls of {wave} ended otherwise: {became.most_common(2)}")
    # One that tries again where the queue is full of what was given up.
    with Detector(server.url, NAME, bls=wave.variant == "bls", timeout_s=30) as detector:
        detector.connect()
        begun = time.monotonic()
        detector.detect(SQUARES[0])
        took_s = time.monotonic() - begun
    outcome.healed(took_s)
    outcome.expect(took_s <= scale.limit(FIRST_CALL_S), f"after {wave} a call took {took_s:.1f} s")


def _recover(server: Server, rate: float, in_flight: int, scale: Scale, outcome: Outcome) -> None:
    """Measure when as much is answered again as before."""
    with Load(server.url, threads=in_flight) as load:
        begun, answered = time.monotonic(), [(0.0, 0)]
        while answered[-1][0] < WATCHED_S:
            time.sleep(WINDOW_S / 20)
            answered.append((time.monotonic() - begun, load.tally.answered))
    recovered_s = next(
        (
            since
            for since, before in answered
            for until, after in answered
            if until >= since + WINDOW_S and after - before >= RECOVERED * rate * (until - since)
        ),
        None,
    )
    load.tally.into(outcome)
    outcome.expect(
        recovered_s is not None and recovered_s <= scale.limit(RECOVERY_S),
        f"{RECOVERED:.0%} of {rate:.0f} calls/s were answered again "
        + ("never" if recovered_s is None else f"after {recovered_s:.1f} s"),
    )
    outcome.notes.append(
        "as much as before was answered again "
        + ("never" if recovered_s is None else f"after {recovered_s:.1f} s")
    )
