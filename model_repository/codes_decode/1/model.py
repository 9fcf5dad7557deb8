"""Triton's side of the decode step: packets of streams in, letterboxed frames out.

Triton hands one packet of a stream at a time, and those of several streams together; a stream stays
with one process. Of streams whose every frame is looked at, frames are held back until the network
has room for them. Frames of the other streams wait for nothing: they are looked at where the detect
step has allowed it, and go on without pixels otherwise.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
from contract import TICKET

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
from packet_tensors import packet_tensors
from packets import PacketRequest, read_packet
from refusals import RefusedPacketError
from ticket_memory import ROOM
from triton_requests import (
    end_late,
    failure,
    refusal,
    response,
    send_last,
    unavailable,
    version_settings,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contract import Tensor
    from numpy.typing import NDArray

STEP = "decode"
ENDED, SILENT = "ended", "silent"
REFUSED, FAILED = "refused", "failed"


class _Read(NamedTuple):
    """What became of a packet.

    Attributes:
        made: the tensors to hand on, but for the ticket, or an answer where there are none.
        counted: what it adds to the metrics.
        waits: whether its frame may have to wait until the network has room.
    """

    made: Any
    counted: CountedPacket
    waits: bool = False


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Make ready to decode."""
        # One thread for a packet: OpenCV's own threads would fight ours for the cores.
        cv2.setNumThreads(1)
        settings = version_settings(args)
        processes = int(settings["instances"])
        self._track = settings["track"]
        self._wanted = _stream_format(settings)
        # Triton gives each new stream to the process that has fewest.
        limits = StreamLimits(
            streams=-(-int(settings["max_streams"]) // processes),
            memory_bytes=int(settings["max_stream_memory"]) // processes,
            idle_s=float(settings["stream_idle_s"]),
        )
        self._tickets = frame_tickets_from_settings(settings, args, limits.streams)
        # Until the detect step says otherwise, the first stream may begin with a look.
        self._tickets.memory[ROOM] = 1
        self._taking = threading.Lock()
        self._metrics = ProcessMetrics(args, (*PACKET_COUNTERS, HELD_SECONDS))
        self._streams = OpenStreams(
            limits, self._wanted, self._count_silent, memory=self._tickets.memory
        )
        threads = int(settings["decode_threads"]) or -(-allowed_cores() // processes)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._holder = ThreadPoolExecutor(1, thread_name_prefix="holder")

    def execute(self, requests: list[Any]) -> list[Any]:
        """Decode a packet of each of several streams; a bad one harms no other.

        One that nobody waits for any more is decoded and counted like all others, because later
        ones refer to it, and goes no further.
        """
        begun = time.monotonic()
        read = list(self._threads.map(self._read, requests))
        answers = [None if isinstance(each.made, dict) else each.made for each in read]
        end_late(requests, answers, begun)
        self._metrics.add(packet_counts(each.counted for each in read))
        waiting = [n for n, answer in enumerate(answers) if answer is None and read[n].waits]
        others = [n for n, answer in enumerate(answers) if answer is None and not read[n].waits]
        for number in others:
            answers[number] = _response(read[number].made, self._tickets.of_nobody())
        made = [read[number].made for number in waiting]
        if waiting and (others or self._streams.some_chosen):
            # What waits must not hold up the others, neither of this call nor of the next ones.
            senders = [requests[number].get_response_sender() for number in waiting]
            held = [requests[number] for number in waiting]
            self._holder.submit(self._send_held, held, senders, made, begun)
        else:
            held_answers = self._hold([requests[number] for number in waiting], made, begun)
            for number, answer in zip(waiting, held_answers, strict=True):
                answers[number] = answer
        return answers

    def finalize(self) -> None:
        """Close the streams and end the threads."""
        self._threads.shutdown()
        self._holder.shutdown()
        self._streams.end()
        self._metrics.close()

    def _send_held(
        self,
        requests: Sequence[Any],
        senders: Sequence[Any],
        made: Sequence[dict[Tensor, NDArray[Any]]],
        begun: float,
    ) -> None:
        try:
            answers = self._hold(requests, made, begun)
        except Exception as error:  # noqa: BLE001 - or nobody would be answered
            answers = [failure(error, STEP) for _ in requests]
        for sender, answer in zip(senders, answers, strict=True):
            send_last(sender, answer)

    def _hold(
        self, requests: Sequence[Any], made: Sequence[dict[Tensor, NDArray[Any]]], begun: float
    ) -> list[Any]:
        """Wait until the network has room for frames; return the answers that hand them on."""
        answers: list[Any] = [None] * len(made)
        with self._taking:
            tickets = self._tickets.take(len(made))
            held_s = self._tickets.held_s * len(made)
        self._metrics.add({Series(HELD_SECONDS): held_s})
        end_late(requests, answers, begun)
        for number, tensors in enumerate(made):
            if answers[number] is None:
                answers[number] = _response(tensors, tickets[number])
        return answers

    def _read(self, request: Any) -> _Read:
        codec, size, status, decode_s, seen = UNKNOWN_CODEC, 0, FAILED, 0.0, None
        waits = False
        packet = None
        try:
            packet = read_packet(request, self._wanted.limits.max_bytes)
            size = len(packet.data)
            if packet.start:
                self._streams.open(packet.stream, packet.codec, packet.orientation, packet.looks)  # type: ignore[arg-type]
                self._metrics.add({Series(STREAMS_OPENED): 1})
            with self._streams.using(packet.stream) as stream:
                codec = stream.codec.value
                answer = stream.push(packet.data, packet.timestamp, packet.damaged)
                tracked = stream.looks.settings.tracked(self._track)
                handed_on = packet_tensors(answer, stream, packet, tracked=tracked)
                waits = answer.look and not stream.looks.chosen
            status, decode_s = handed_on.status.name.lower(), answer.decode_s
            seen = answer.look if answer.has_frame else None
            made: Any = handed_on.tensors
        except RefusedPacketError as error:
            status = REFUSED
            made = unavailable(str(error)) if error.elsewhere else refusal(str(error))
        except Exception as error:  # noqa: BLE001 - raising would fail its neighbours too
            made = failure(error, STEP)
        if packet is not None and packet.end:
            self._end(packet)
        return _Read(made, CountedPacket(codec, status, size, decode_s, seen), waits)

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


def _response(tensors: dict[Tensor, NDArray[Any]], ticket: NDArray[Any]) -> Any:
    try:
        return response(tensors | {TICKET: ticket[None]})
    except Exception as error:  # noqa: BLE001 - likewise
        return failure(error, STEP)
