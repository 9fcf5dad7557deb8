"""Triton's side of the detect step: frames of streams in, boxes and the ids of their tracks out.

It calls the network itself, because an ensemble would take every frame through it. Frames that the
network is to see are taken together, as far as they have one shape, and their packets are answered
when it is done; all other packets are answered at once, unless one before them is not.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from contract import FRAME, GEOMETRY, STREAM_FRAME, TICKET, TRACKING

from detect_counts import (
    DETECT_COUNTERS,
    LOOK_SECONDS,
    LOOKS,
    PREDICTED,
    TRACKS,
    USED_SECONDS,
    WANTED_SECONDS,
)
from detection_counts import CANDIDATES_SEEN, DETECTION_COUNTERS, DETECTIONS
from detections import Rows, row_tensors
from look_scheduler import LookScheduler
from metrics import ProcessMetrics, Series
from network_calls import NetworkCaller, NetworkError, NetworkUnavailableError
from network_share import share_of_streams
from request_parameters import BadParameterError
from request_thresholds import default_thresholds, thresholds_of_request
from returned_tickets import ReturnedTickets
from stream_answers import Packet, StreamAnswers, new_stream
from stream_frames import Note, StreamFrame
from triton_requests import (
    abandoned,
    failure,
    input_array,
    is_abandoned,
    refusal,
    response,
    send_last,
    unavailable,
    version_settings,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    StreamKey = tuple[int, int, int]

STEP = "detect"
# Calls of the network at once; each has a frame or a batch.
MOST_CALLS = 64
# Streams that fell silent are forgotten a little later than their decoder is.
GRACE_S = 5.0
# More than there can be open, for those that are made up.
MOST_STREAMS_FACTOR = 4


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Make ready to call the network and to track."""
        settings = version_settings(args)
        self._defaults = default_thresholds(settings)
        self._network = NetworkCaller(
            settings["network_model"], int(args["model_version"]), float(settings["network_wait_s"])
        )
        self._metrics = ProcessMetrics(args, (*DETECT_COUNTERS, *DETECTION_COUNTERS))
        self._idle_s = float(settings["stream_idle_s"]) + GRACE_S
        self._most_streams = MOST_STREAMS_FACTOR * int(settings["max_streams"])
        self._tickets = ReturnedTickets()
        share = share_of_streams(
            settings["network_model"], int(args["model_version"]), float(settings["stream_share"])
        )
        self._scheduler = LookScheduler(int(settings["looks_in_flight"]), share)
        self._streams: dict[StreamKey, StreamAnswers] = {}
        self._swept = time.monotonic()
        self._lock = threading.Lock()
        self._callers = ThreadPoolExecutor(MOST_CALLS, thread_name_prefix="network")

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer what can be answered at once; None for packets that are answered later."""
        taken = time.monotonic()
        answers: list[Any] = [None] * len(requests)
        looks: dict[tuple[int, ...], list[Packet]] = {}
        with self._lock:
            self._forget_silent(taken)
            for number, request in enumerate(requests):
                try:
                    answers[number] = self._take(request, taken, looks)
                except Exception as error:  # noqa: BLE001 - raising would fail its neighbours too
                    answers[number] = failure(error, STEP)
        for packets in looks.values():
            self._callers.submit(self._look, packets)
        return answers

    def finalize(self) -> None:
        """Answer all that is left, and send the last counts."""
        self._callers.shutdown(wait=True)
        self._metrics.close()

    def _take(self, request: Any, taken: float, looks: dict[tuple[int, ...], list[Packet]]) -> Any:
        """Take one packet; return its answer, or None where it has to wait."""
        ticket = input_array(request, TICKET)[0]
        frame = StreamFrame.from_array(input_array(request, STREAM_FRAME)[0])
        packet = Packet(
            request, frame, self._defaults.thresholds, np.zeros(0, np.float32), ticket, None, taken
        )
        key = (int(ticket[0]), int(ticket[2]), frame.stream)
        stream = self._stream(key, request, frame)
        if Note.LOOK in frame.notes:
            packet.geometry = input_array(request, GEOMETRY)[0].copy()
            packet.pixels = input_array(request, FRAME)
        else:
            packet.done = True
        try:
            packet.thresholds = thresholds_of_request(request.parameters(), self._defaults)
        except BadParameterError as error:
            packet.error = refusal(str(error))
        self._scheduler.arrived(key, frame, self._tickets.memory_of(ticket))
        alone = stream.idle
        stream.add(packet)
        if Note.END in frame.notes:
            self._streams.pop(key, None)
        if packet.pixels is not None:
            looks.setdefault(packet.pixels.shape, []).append(packet)
        if alone and packet.done:
            ((_, answer),) = self._answers(stream)
            return answer
        packet.sender = request.get_response_sender()
        packet.stream = stream
        return None

    def _stream(self, key: StreamKey, request: Any, frame: StreamFrame) -> StreamAnswers:
        stream = self._streams.get(key)
        if stream is None:
            if len(self._streams) >= self._most_streams:
                del self._streams[next(iter(self._streams))]
            tracking = input_array(request, TRACKING)[0]
            stream = new_stream(frame, tracking, self._defaults.thresholds.max_det)
            self._streams[key] = stream
        return stream

    def _look(self, packets: Sequence[Packet]) -> None:
        """Have the network look at frames of one shape, and answer what can be answered then."""
        begun = time.monotonic()
        try:
            wanted = [packet for packet in packets if self._is_wanted(packet)]
            if wanted:
                self._run(wanted)
        except Exception as error:  # noqa: BLE001 - or nobody would be answered
            for packet in packets:
                packet.error = packet.error or failure(error, STEP)
        with self._lock:
            for packet in packets:
                packet.done, packet.pixels = True, None
                self._tickets.give_back(packet.ticket[None])
            self._scheduler.looked([packet.frame for packet in packets], time.monotonic() - begun)
            wanted_s, used_s = self._scheduler.wanted_seconds()
            self._metrics.add(
                {
                    Series(WANTED_SECONDS): wanted_s,
                    Series(USED_SECONDS): used_s,
                    Series(LOOKS): len(packets),
                    Series(LOOK_SECONDS): sum(time.monotonic() - each.taken for each in packets),
                }
            )
            streams = [packet.stream for packet in packets if packet.stream is not None]
            for stream in {id(stream): stream for stream in streams}.values():
                for packet, answer in self._answers(stream):
                    send_last(packet.sender, answer)

    def _is_wanted(self, packet: Packet) -> bool:
        if packet.error is None and is_abandoned(packet.request, time.monotonic() - packet.taken):
            packet.error = abandoned()
        return packet.error is None

    def _run(self, packets: Sequence[Packet]) -> None:
        pixels = [packet.pixels for packet in packets]
        together = pixels[0] if len(pixels) == 1 else np.concatenate(pixels)  # type: ignore[arg-type]
        # A run of the network for several packets bears the id and the trace of the first.
        first = packets[0].request
        try:
            found = self._network.candidates(together, first.request_id(), first.trace())  # type: ignore[arg-type]
        except NetworkUnavailableError:
            sentence = "the network takes no requests at the moment: try again"
            for packet in packets:
                packet.error = unavailable(sentence)
        except NetworkError as error:
            for packet in packets:
                packet.error = failure(error, "network")
        else:
            for packet, candidates in zip(packets, found, strict=True):
                packet.candidates = candidates

    def _answers(self, stream: StreamAnswers) -> Iterator[tuple[Packet, Any]]:
        """Yield the packets of a stream that can be answered now, with their responses."""
        begun = stream.tracks_begun
        for packet, rows in stream.ready():
            yield packet, packet.error or self._response(packet, rows)
        if stream.tracks_begun > begun:
            self._metrics.add({Series(TRACKS): stream.tracks_begun - begun})

    def _response(self, packet: Packet, rows: Rows) -> Any:
        try:
            if packet.candidates is None:
                self._metrics.add({Series(PREDICTED): len(rows.scores)})
            else:
                above = packet.candidates[:, 4] > np.float32(packet.thresholds.conf)
                self._metrics.add(
                    {
                        Series(CANDIDATES_SEEN): int(np.count_nonzero(above)),
                        Series(DETECTIONS): len(rows.scores),
                    }
                )
            return response(row_tensors(rows, self._defaults.thresholds.max_det))
        except Exception as error:  # noqa: BLE001 - the packets behind it have to be answered
            return failure(error, STEP)

    def _forget_silent(self, now: float) -> None:
        """Forget streams that nobody ended; their decoders were closed."""
        if now - self._swept < GRACE_S:
            return
        self._swept = now
        for key, stream in list(self._streams.items()):
            if stream.idle and now - stream.last_packet > self._idle_s:
                del self._streams[key]
                self._scheduler.forget(key)
