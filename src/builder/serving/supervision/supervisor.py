"""Serving with somebody who looks after Triton.

Triton does not start the process of a Python model again that died, and calls itself ready without.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from builder.errors import PortTakenError, ServerError, ServerKilledError
from builder.pipelines.pipeline_models import all_names
from builder.serving.exposure import exposure_warning
from builder.serving.left_out import leaving_out
from builder.serving.loading import Loaded, not_served_line
from builder.serving.ports import check_free
from builder.serving.server import Triton, checked_triton, running_triton
from builder.serving.server_options import ServerOptions, check_ports
from builder.serving.supervision.fault import TRITON
from builder.serving.supervision.healing_limit import MOST_HEALINGS, HealingLimit
from builder.serving.supervision.health_endpoint import health_endpoint
from builder.serving.supervision.readiness_board import ReadinessBoard
from builder.serving.supervision.server_watch import ServerWatch

HEALTH_PORT = 8003
# On a loaded machine the Triton of the wheel was seen to abort while it starts.
START_ATTEMPTS = 3
# The kernel takes a moment to take back what a killed process listened on.
PORTS_S = 10.0
PORTS_LOOK_S = 0.05
RESTARTING = f"{TRITON} is being restarted"


@dataclass(frozen=True)
class Supervision:
    """How a server is watched.

    Attributes:
        health_port: of the HTTP endpoint for probes.
        most_healings: within ten minutes; then the server ends.
    """

    health_port: int = HEALTH_PORT
    most_healings: int = MOST_HEALINGS


def supervise(options: ServerOptions, supervision: Supervision) -> None:
    """Serve until interrupted, and mend what breaks; else as ``triton_server``.

    Raises:
        SettingsError: the limit is none.
        PortTakenError: another program has one of the ports.
        ServerError: the first start failed, or there was too much to mend.
    """
    limit = check_supervision(options, supervision)
    # What is left out is looked for at each start.
    triton, _ = checked_triton(options)
    board = ReadinessBoard(all_names(options.repository))
    with health_endpoint(options.address, supervision.health_port, board):
        _Supervisor(triton, options, board, limit).run()


def check_supervision(options: ServerOptions, supervision: Supervision) -> HealingLimit:
    """Check what can be checked before a server is started, and return its limit.

    Raises:
        SettingsError: the limit is none.
        PortTakenError: another program has one of the ports.
    """
    limit = HealingLimit(supervision.most_healings)
    check_free(options.address, {**options.ports, "health": supervision.health_port})
    return limit


class _Supervisor:
    def __init__(
        self, triton: Triton, options: ServerOptions, board: ReadinessBoard, limit: HealingLimit
    ) -> None:
        self._triton = triton
        self._options = options
        self._board = board
        self._limit = limit
        self._attempts = 0
        # When what is being mended was noticed, and since when the server has been well.
        self._noticed_at: float | None = None
        self._well_since: float | None = None
        self._said_ready = False
        # Pipelines that have answered since it was last ready.
        self._well: frozenset[str] = frozenset()
        # What was said of those that are not served.
        self._told: Mapping[str, str] = {}

    def run(self) -> None:
        """Serve until an exception ends it."""
        while True:
            self._attempts += 1
            try:
                why = self._serve()
            except ServerError as error:
                # While it started. A model that does not load never will; what a signal ended may.
                again = isinstance(error, ServerKilledError) and self._attempts < START_ATTEMPTS
                if not (self._said_ready or again):
                    raise
                why = f"{error} (while it started)"
            self._prepare_restart(why)

    def _serve(self) -> str:
        """Start a server and watch it; return what went wrong with it."""
        # Files may have been mended or damaged since the last start.
        options = leaving_out(self._options, mended=self._well)
        with running_triton(self._triton, options) as server:
            try:
                found = server.wait_until_loaded()
                watch = ServerWatch(server, options, self._board, found.missing)
                why = (
                    self._lost(options, found)
                    or watch.until_all_answer()
                    or self._missing(watch, found)
                )
                if why is None:
                    self._tell_ready(found, watch, server.version)
                    why = watch.until_fault()
                    self._well |= watch.ready()
                self._board.tell_all(RESTARTING)
                if self._noticed_at is None:
                    self._noticed_at = time.monotonic()
            except KeyboardInterrupt:
                # It may have taken requests before we called it ready. While this lasts a second
                # signal ends it at once.
                self._board.tell_all(f"{TRITON} is stopping")
                server.drain()
                raise
            server.kill()
            return str(why)

    def _lost(self, options: ServerOptions, found: Loaded) -> str | None:
        """Return what did not load after a restart and was served before it.

        That may pass, as a want of memory does; what does not load each time is left out.
        """
        names = self._well.intersection(found.missing).difference(options.left_out)
        again = self._attempts < START_ATTEMPTS and self._limit.allows(time.monotonic())
        lost = "; ".join(found.missing[name] for name in sorted(names))
        return lost if again and lost else None

    def _missing(self, watch: ServerWatch, found: Loaded) -> str | None:
        """Return what no longer answers after a restart and did before it."""
        expected = self._well.difference(found.missing)
        lost = [why for name, why in watch.unready().items() if name in expected]
        return "; ".join(lost) or None

    def _tell_ready(self, found: Loaded, watch: ServerWatch, version: str | None) -> None:
        now = time.monotonic()
        for name, why in found.missing.items():
            if self._told.get(name) != why:
                _tell(not_served_line(self._options, name, why))
        self._told = found.missing
        for why in watch.unready().values():
            _tell(f"warning: {why}")
        if not self._said_ready:
            if warning := exposure_warning(self._options, version):
                _tell(f"warning: {warning}")
            print(self._options.ready_line(found.models, found.missing), flush=True)
            self._said_ready = True
        if self._noticed_at is not None:
            _tell(f"healed after {now - self._noticed_at:.1f} s")
        self._well = watch.ready()
        self._noticed_at, self._well_since, self._attempts = None, now, 0

    def _prepare_restart(self, why: str) -> None:
        now = time.monotonic()
        self._board.tell_all(RESTARTING)
        # At the first start too: a canary may be what ends a process, each time.
        pause_s = self._limit.next_pause_s(now, self._well_since, why)
        self._well_since = None
        _tell(f"{why}: restarting {TRITON}" + (f" in {pause_s:g} s" if pause_s else ""))
        time.sleep(pause_s)
        _wait_for_ports(self._options)


def _wait_for_ports(options: ServerOptions) -> None:
    deadline = time.monotonic() + PORTS_S
    while True:
        try:
            check_ports(options)
            return
        except PortTakenError:
            if time.monotonic() > deadline:
                raise
        time.sleep(PORTS_LOOK_S)


def _tell(what: str) -> None:
    # Nobody may read it any more, or its disk is full: no reason to stop serving.
    with suppress(OSError):
        print(f"framewire: {what}", file=sys.stderr, flush=True)
