"""Calls that nobody waits for any more and that the server is about to end."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import grpc

__all__ = ["Lingering"]


class Lingering:
    """Keeps calls of gRPC's threads until they end: one that nobody holds is cancelled.

    ``grpc.Future`` cancels its call when it is collected, which is to hang up in the very moment in
    which nobody waits any more; see ``conversation.Call.lingers``. Safe between threads.
    """

    def __init__(self) -> None:
        self._calls: set[Any] = set()

    def add(self, call: Any) -> None:
        """Keep a ``grpc.Future`` until it ends, which it does by its deadline."""
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    def wait(self, timeout_s: float) -> None:
        """Return when all have ended, or after ``timeout_s``."""
        until = time.monotonic() + timeout_s
        for call in tuple(self._calls):
            with suppress(grpc.FutureTimeoutError, grpc.FutureCancelledError):
                call.exception(timeout=max(0.0, until - time.monotonic()))
