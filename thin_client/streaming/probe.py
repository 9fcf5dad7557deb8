"""Measuring the link to a server: bytes that no model, no queue and no statistics ever sees.

The bytes travel in ServerLive, as a field that the message does not have. Every server has to skip
fields it does not know (https://protobuf.dev/programming-guides/proto3/#unknowns), so Triton parses
the message and answers that it is alive: no model runs, nobody's frame waits behind it in a queue,
the statistics and metrics of the pipeline stay what they are, and a server that restricts its
endpoints answers it all the same. A packet or a picture of known size would do none of that: it
would be decoded, or counted among the broken ones.

Bounded in time and bytes: half a second of sending, 1.5 MB, and no more than 128 KB on the way.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
from tritonclient.grpc import service_pb2

from thin_client.streaming.link import Link, round_trip_s, sustained_bits_per_s

__all__ = ["measure_link"]

ROUND_TRIPS = 5
CHUNK_BYTES = 8192
MOST_BYTES = 1_500_000
MOST_S = 0.5
# Bytes on their way at a time: what a link of 100 Mbit/s and 10 ms holds, and a second of the
# slowest one; less and a fast link would wait for answers.
MOST_ON_THE_WAY = 128 * 1024

_METHOD = "/inference.GRPCInferenceService/ServerLive"
# Field 1000, length-delimited; then the length as a varint (two bytes up to 16383).
_FIELD = bytes([0xC2, 0x3E])


def measure_link(
    channel: Any, metadata: tuple[tuple[str, str], ...], timeout_s: float = 10.0
) -> Link:
    """Return what the link carries; takes half a second on a slow link, less on a fast one.

    Args:
        channel: an open gRPC channel to the server.
        metadata: what goes with every call.
        timeout_s: of the calls; a probe that is not answered by then ends the measurement.

    Raises:
        grpc.RpcError: the server does not answer.
    """
    live = channel.unary_unary(
        _METHOD, None, service_pb2.ServerLiveResponse.FromString, _registered_method=False
    )

    def call(payload: bytes) -> Any:
        return live.future(payload, timeout=timeout_s, metadata=metadata)

    call(b"").result()  # the connection is made here, and not measured
    times_s = []
    for _ in range(ROUND_TRIPS):
        started = time.perf_counter()
        call(b"").result()
        times_s.append(time.perf_counter() - started)
    return Link(round_trip_s(times_s), sustained_bits_per_s(*_flood(call)))


def _flood(call: Callable[[bytes], Any]) -> tuple[float, list[tuple[float, int]]]:
    """Send chunks for a bounded time; return when it began, and when each was answered."""
    chunk = padding(CHUNK_BYTES)
    room = threading.Semaphore(MOST_ON_THE_WAY // CHUNK_BYTES)
    answers: list[tuple[float, int]] = []
    pending: list[Any] = []

    def answered(future: Any) -> None:
        now = time.perf_counter()
        room.release()
        # A chunk that failed says nothing about the link; the measurement goes on without it.
        if not future.cancelled() and future.exception() is None:
            answers.append((now, CHUNK_BYTES))

    began = time.perf_counter()
    deadline = began + MOST_S
    for _ in range(MOST_BYTES // CHUNK_BYTES):
        if not room.acquire(timeout=max(0.0, deadline - time.perf_counter())):
            break
        future = call(chunk)
        pending.append(future)
        future.add_done_callback(answered)
    for future in pending:
        try:
            future.result()
        except (grpc.RpcError, grpc.FutureCancelledError):
            continue
    return began, list(answers)


def padding(size: int) -> bytes:
    """Return a message of about ``size`` bytes, none of which the server keeps."""
    # Random, as something on the way may compress.
    return _FIELD + bytes([size & 0x7F | 0x80, size >> 7]) + os.urandom(size)
