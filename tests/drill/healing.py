"""Hurting one of two servers while clients call both, and watching it heal."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from tests.drill.load import Load
from tests.drill.outcome import Outcome
from tests.drill.scale import Scale
from tests.drill.servers import Pair, Server, seconds_until

UNREADY_S, HEALED_S = 2.0, 5.0
# A server that does not heal is waited for so long, times the limit, before it is given up.
PATIENCE = 6
# A supervisor ends after five healings within ten minutes unless it is told otherwise, and pauses
# before it heals a server that was well for less than five seconds.
SUPERVISION = ("--max-restarts", "1000000")
WELL_S = 6.0
CALLS_BETWEEN = 30
# Of each client, between two calls. Two servers and their clients share the cores of one machine
# here, and one that starts again must find some.
PAUSE_S = 0.02


class Patient:
    """Two servers, of which always the same one is hurt until it has healed often enough.

    Args:
        pair: the servers.
        load: on both.
        scale: whose limits hold.
        outcome: that keeps what did not.
    """

    def __init__(self, pair: Pair, load: Load, scale: Scale, outcome: Outcome) -> None:
        self._pair, self._load, self._scale, self._outcome = pair, load, scale, outcome
        self._well_since = [0.0, 0.0]
        self._turn = 0

    def hurt(self, what: str, hurt: Callable[[Server], None]) -> None:
        """Hurt a server under load, and wait until it is well again.

        Args:
            what: is done, for the sentence about what did not hold.
            hurt: does it.
        """
        self._turn = 1 - self._turn
        number = self._turn
        server = self._pair.servers[number]
        time.sleep(max(self._well_since[number] + WELL_S - time.monotonic(), 0))
        self._load.wait_for_more(CALLS_BETWEEN)
        said, stolen_s, disk_s = len(server.said), _stolen_s(), _disk_s()
        hurt(server)
        notice_s = seconds_until(
            lambda: not server.ready(), PATIENCE * self._scale.limit(UNREADY_S)
        )
        if notice_s is None:
            self._outcome.broken.append(f"{what}: the server went on calling itself ready")
            self._replace(number)
            return
        more_s = seconds_until(server.ready, PATIENCE * self._scale.limit(HEALED_S))
        if more_s is None:
            why = server.error_text().strip().splitlines()[-1:]
            self._outcome.broken.append(f"{what}: it did not heal ({''.join(why)})")
            self._replace(number)
            return
        heal_s = notice_s + more_s
        self._outcome.noticed(notice_s)
        self._outcome.healed(heal_s)
        why = (
            f"only, while {_stolen_s() - stolen_s:.1f} s of its cores were taken away and "
            f"something waited for a disk for {_seconds_between(disk_s, _disk_s())}; it said: "
            f"{' '.join(''.join(server.said[said:]).split())}"
        )
        if notice_s > self._scale.limit(UNREADY_S):
            self._outcome.broken.append(f"{what}: unready after {notice_s:.1f} s {why}")
        if heal_s > self._scale.limit(HEALED_S):
            self._outcome.broken.append(f"{what}: healed after {heal_s:.1f} s {why}")
        self._well_since[number] = time.monotonic()

    def _replace(self, number: int) -> None:
        self._pair.renew(number)
        self._well_since[number] = time.monotonic()


def _stolen_s() -> float:
    """Return for how long, in all, a virtual machine was kept from running its cores."""
    total = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
    return int(total[8]) / os.sysconf("SC_CLK_TCK")


def _disk_s() -> float | None:
    """Return for how long, in all, a process had to wait for a disk; None where nothing tells."""
    try:
        some = Path("/proc/pressure/io").read_text(encoding="ascii").splitlines()[0]
    except OSError:
        return None
    return int(some.rpartition("total=")[2]) / 1e6


def _seconds_between(before: float | None, after: float | None) -> str:
    return "an unknown time" if before is None or after is None else f"{after - before:.1f} s"
