"""Pings of a link: one after the other, for all streams that go over it."""

from __future__ import annotations

import threading
import time
from typing import Any, Protocol

import grpc
from tritonclient.grpc import service_pb2

from thin_client.closing import Closing

__all__ = ["PINGED_FOR_S", "PING_S", "Pings"]

PING_S = 0.1
# A ping that takes longer is no answer any more.
PINGED_FOR_S = 5.0


class Pinged(Protocol):
    """Who wants to know how long pings take; called in threads of others."""

    def pinged(self, now: float) -> None:
        """Take that a ping left; the next leaves when this one has come back."""

    def ping_answered(self, now: float) -> None:
        """Take that it came back, or never will."""


class Pings(Closing):
    """Asks the server for nothing ten times a second, as long as anybody listens.

    Streams that share a connection share its delays, so one ping is enough for all of them.

    Args:
        stub: of KServe's GRPCInferenceService.
        metadata: what goes with every call.
    """

    def __init__(self, stub: Any, metadata: tuple[tuple[str, str], ...]) -> None:
        self._stub = stub
        self._metadata = metadata
        self._lock = threading.Lock()
        self._listeners: list[Pinged] = []
        self._told: list[Pinged] = []  # of the ping that is out
        self._closed = threading.Event()
        self._back = threading.Event()
        self._thread = threading.Thread(target=self._run, name="framewire-pings", daemon=True)
        self._thread.start()

    def listen(self, listener: Pinged) -> None:
        """Tell somebody of the pings from the next one on."""
        with self._lock:
            self._listeners.append(listener)

    def leave(self, listener: Pinged) -> None:
        """Tell somebody of no ping any more."""
        with self._lock:
            self._listeners = [each for each in self._listeners if each is not listener]

    def close(self) -> None:
        """Send no more."""
        self._closed.set()
        self._back.set()

    def _run(self) -> None:
        while not self._closed.wait(PING_S):
            with self._lock:
                self._told = list(self._listeners)
            if not self._told:
                continue
            self._back.clear()
            now = time.monotonic()
            for listener in self._told:
                listener.pinged(now)
            try:
                call = self._stub.ServerLive.future(
                    service_pb2.ServerLiveRequest(), timeout=PINGED_FOR_S, metadata=self._metadata
                )
            except (grpc.RpcError, ValueError):
                return  # the channel is closed
            call.add_done_callback(self._answered)
            self._back.wait(2 * PINGED_FOR_S)

    def _answered(self, _: Any) -> None:
        now = time.monotonic()
        for listener in self._told:
            listener.ping_answered(now)
        self._back.set()
