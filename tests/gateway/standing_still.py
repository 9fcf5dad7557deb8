"""A Triton that stands still: frames stay under way, and the gateway counts them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.gateway.running import Gateway
from tests.metrics import scrape, total
from tests.serving import Serving


@contextmanager
def standing_still(triton: Serving) -> Iterator[None]:
    """Stop the process of a Triton, so that it answers nothing, until the block ends."""
    os.kill(triton.triton_pid(), signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(triton.triton_pid(), signal.SIGCONT)


def counted(running: Gateway, name: str, **labelled: str) -> float:
    return total(scrape(running.port), f"framewire_gateway_{name}", **labelled)


def wait_for_count(running: Gateway, name: str, value: float) -> None:
    deadline = time.monotonic() + 30
    while counted(running, name) != value:
        assert time.monotonic() < deadline, (name, counted(running, name), running.error_text())
        time.sleep(0.05)
