"""What tests ask a container over HTTP."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping

from builder.testing import FramewireContainer

PATIENCE_S = 120
ANSWERED = re.compile(r'^nv_inference_request_success\{model="tiny",[^}]*\} (\d+)', re.MULTILINE)


def ask(url: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Return the status and the text of an answer."""
    body = b"" if method == "POST" else None
    request = urllib.request.Request(  # noqa: S310 - always http
        url, body, dict(headers or {}), method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def answered_by(container: FramewireContainer) -> int:
    """How many requests to ``tiny`` a container has answered."""
    # Triton calls every version of an ensemble 1 here, and lists it once more under its own.
    return sum(map(int, ANSWERED.findall(ask(container.metrics_url)[1])))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
