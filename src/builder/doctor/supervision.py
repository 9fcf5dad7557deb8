"""Whether somebody watches over a running Triton, and what that somebody tells probes."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from typing import Any

from builder.doctor.case import Case
from builder.doctor.environment import EVERY_ADDRESS, listening_address
from builder.doctor.finding import Seen, error, hint
from builder.doctor.processes import listening_ports, parent_of
from builder.serving.server_options import LOOPBACK
from builder.serving.supervision.pipeline_watch import NOT_LOADED

ANSWER_S = 5


def look_at_supervision(case: Case) -> Seen | None:
    """Look for the supervisor of `framewire serve`, and ask it what it tells probes."""
    running = case.running
    if running is None:
        # Its Triton may not be there yet, or be gone.
        port = case.ports.get("health")
        told = told_to_probes(case.address, port) if port else None
        return _not_ready(port, told, "") if port and told and not told["ready"] else None
    pid, address = running.process, listening_address(running)
    for port in listening_ports(parent_of(pid)):
        told = told_to_probes(address or LOOPBACK, port)
        if told is None:
            continue
        if told["ready"]:
            return Seen(f"a supervisor on port {port} tells probes that all is ready")
        return _not_ready(port, told, f" to {running.url}")
    return Seen(
        "nobody whom probes can ask",
        (
            hint(
                "not-supervised",
                f"nobody watches over tritonserver (process {pid}): when the process of a model "
                "dies or hangs, its requests fail until somebody starts the server again",
                "`framewire serve` without --no-supervise does (docs/serving.md)",
            ),
        ),
    )


def _not_ready(port: int, told: dict[str, Any], where: str) -> Seen:
    mend = (
        "wait: it mends what it can by itself; its log says what it does, and "
        "`framewire serve --verbose` what Triton does"
    )
    if NOT_LOADED in str(told.get("why")):
        mend = (
            "mend the pipeline that did not load, then `framewire load NAME --url HOST:PORT`; its "
            "log says what is wrong with it, and others are served meanwhile"
        )
    return Seen(
        f"a supervisor on port {port} tells probes that not all is ready",
        (
            error(
                "not-ready-for-probes",
                f"the supervisor on port {port} tells probes not to send requests{where} "
                f"({told.get('why', 'it does not say why')})",
                mend,
            ),
        ),
    )


def told_to_probes(address: str, port: int) -> dict[str, Any] | None:
    """Return what a supervisor that listens on an address and port tells; None without one."""
    # Where it listens on every address, it does on this one.
    host = LOOPBACK if address == EVERY_ADDRESS else address
    with closing(http.client.HTTPConnection(host, port, timeout=ANSWER_S)) as connection:
        try:
            connection.request("GET", "/readyz")
            told = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
    ours = isinstance(told, dict) and {"ready", "pipelines"} <= told.keys()
    return told if ours else None
