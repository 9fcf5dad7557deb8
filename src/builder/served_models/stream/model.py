"""Triton's side of the decode step: packets of streams in, letterboxed frames out.

Triton hands one packet of a stream at a time, and those of several streams together; a stream stays
with one process.
"""

from __future__ import annotations

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from contract import (
    FRAME,
    FRAME_INDEX,
    FRAME_TIMESTAMP,
    GEOMETRY,
    IMAGE_SIZE,
    IMAGE_STATUS,
    TICKET,
    Tensor,
)

from cores import allowed_cores
from decode import DecodeLimits
from frame_tickets import HELD_SECONDS, frame_tickets_from_settings
from frames import FrameFormat, frame_format
from metrics import ProcessMetrics, Series
from open_streams import OpenStreams, StreamLimits
from packet_counts import (
    PACKET_COUNTERS,
    STREAMS_CLOSED,
    STREAMS_OPENED,
    UNKNOWN_CODEC,
    CountedPacket,
    packet_counts,
)
from packets import PacketRequest, read_packet
from refusals import RefusedPacketError
from stream import PacketAnswer
from triton_requests import end_late, failure, refusal, response, unavailable, version_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

STEP = "decode"
ENDED, SILENT = "ended", "silent"
REFUSED, FAILED = "refused", "failed"


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Make ready to decode."""
        # One thread for a packet: OpenCV's own threads would fight ours for the cores.
        cv2.setNumThreads(1)
        settings = version_settings(args)
        processes = int(settings["instances"])
        self._wanted = _stream_format(settings)
        self._tickets = frame_tickets_from_settings(settings, args)
        self._metrics = ProcessMetrics(args, (*PACKET_COUNTERS, HELD_SECONDS))
        # Triton gives each new stream to the process that has fewest.
        limits = StreamLimits(
            streams=-(-int(settings["max_streams"]) // processes),
            memory_bytes=int(settings["max_stream_memory"]) // processes,
            idle_s=float(settings["stream_idle_s"]),
        )
        self._streams = OpenStreams(limits, self._wanted, self._count_silent)
        threads = int(settings["decode_threads"]) or -(-allowed_cores() // processes)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="decode")

    def execute(self, requests: list[Any]) -> list[Any]:
        """Decode a packet of each of several streams; a bad one harms no other.

        One that nobody waits for any more is decoded and counted like all others, because later
        ones refer to it, and goes no further.
        """
        begun = time.monotonic()
        read = list(self._threads.map(self._read, requests))
        answers = [None if isinstance(made, dict) else made for made, _ in read]
        end_late(requests, answers, begun)
        handed_on = [number for number, answer in enumerate(answers) if answer is None]
        tickets = self._tickets.take(len(handed_on))
        held_s = self._tickets.held_s * len(handed_on)
        counts = packet_counts(packet for _, packet in read)
        self._metrics.add(counts | {Series(HELD_SECONDS): held_s})
        end_late(requests, answers, begun)
        for number, ticket in zip(handed_on, tickets, strict=True):
            if answers[number] is None:
                answers[number] = _response(read[number][0] | {TICKET: ticket[None]})
        return answers

    def finalize(self) -> None:
        """Close the streams and end the threads."""
        self._threads.shutdown()
        self._streams.end()
        self._metrics.close()

    def _read(self, request: Any) -> tuple[Any, CountedPacket]:
        """Return a dict of the tensors to hand on, or an answer where there are none."""
        codec, size, status, decode_s = UNKNOWN_CODEC, 0, FAILED, 0.0
        packet = None
        try:
            packet = read_packet(request, self._wanted.limits.max_bytes)
            size = len(packet.data)
            if packet.start:
                self._streams.open(packet.stream, packet.codec, packet.orientation)  # type: ignore[arg-type]
                self._metrics.add({Series(STREAMS_OPENED): 1})
            with self._streams.using(packet.stream) as stream:
                codec = stream.codec.value
                answer = stream.push(packet.data, packet.timestamp, packet.damaged)
            status, decode_s = answer.status.name.lower(), answer.decode_s
            made = _tensors(answer)
        except RefusedPacketError as error:
            status = REFUSED
            made = unavailable(str(error)) if error.elsewhere else refusal(str(error))
        except Exception as error:  # noqa: BLE001 - raising would fail its neighbours too
            made = failure(error, STEP)
        if packet is not None and packet.end:
            self._end(packet)
        return made, CountedPacket(codec, status, size, decode_s)

    def _end(self, packet: PacketRequest) -> None:
        if self._streams.close(packet.stream):
            self._metrics.add({Series(STREAMS_CLOSED, (ENDED,)): 1})

    def _count_silent(self, count: int) -> None:
        self._metrics.add({Series(STREAMS_CLOSED, (SILENT,)): count})


def _stream_format(settings: Mapping[str, str]) -> FrameFormat:
    limits = DecodeLimits(
        max_bytes=int(settings["max_packet_bytes"]), max_pixels=int(settings["max_stream_pixels"])
    )
    return dataclasses.replace(frame_format(settings), limits=limits)


def _response(tensors: dict[Tensor, NDArray[Any]]) -> Any:
    try:
        return response(tensors)
    except Exception as error:  # noqa: BLE001 - likewise
        return failure(error, STEP)


def _tensors(answer: PacketAnswer) -> dict[Tensor, NDArray[Any]]:
    return {
        FRAME: answer.frame[None],
        GEOMETRY: answer.geometry[None],
        IMAGE_STATUS: np.array([[answer.status]], np.int32),
        IMAGE_SIZE: np.array([answer.size], np.int32),
        FRAME_INDEX: np.array([[answer.index]], np.int64),
        FRAME_TIMESTAMP: np.array([[answer.timestamp]], np.int64),
    }
