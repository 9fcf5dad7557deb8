"""A stream's conversation with the server: what is unanswered, what is lost, how it goes on."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import grpc
from tritonclient.grpc import service_pb2

from thin_client.contract import READ_STATUSES, STATUS_SENTENCES, Codec
from thin_client.detections import Detections
from thin_client.errors import FramewireError, RequestRefused
from thin_client.failures import clean_sentence, diagnose, has_lost_process, is_transient
from thin_client.retry import MOST_LOST_PROCESSES
from thin_client.streaming.call import StreamCall
from thin_client.streaming.kept import Kept
from thin_client.streaming.looks import Looks
from thin_client.streaming.orientation import UPRIGHT
from thin_client.streaming.packets import (
    Answer,
    has_frame,
    image_request,
    packet_request,
    read_answer,
)
from thin_client.streaming.target import Target
from thin_client.streaming.units import Unit

__all__ = ["Session"]

# No answer for so long while some are due: the server or the link is gone, whatever TCP says.
STALLED_S = 5.0
# Errors of one request after which the stream can go on: the server forgot it, is full, or stops.
_PASSING = re.compile(
    r"must specify|is not open|maximum queue|timeout expired|no available version|ready state"
    r"|not ready|unload|stopp",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class _Sent:
    target: Target
    unit: Unit | None  # None: an empty packet
    sent_at: float


class Session:
    """Sends units and receives their answers, over one call after the other.

    Args:
        images: where JPEGs go.
        streams: where packets go; None where the pipeline takes none.
        delivered: called with every answer, the unit that it answers (None for an empty packet) and
            the moment it came, in a thread of the call's own.
        keep: keep what is needed to send unanswered units once more, from their key frame on.
        looks: how often the network looks at the stream, and how it is tracked.
        stateless: JPEGs go to ``images``; else they are a stream where there are looks to spare or
            tracks to be had.
    """

    def __init__(
        self,
        images: Target,
        streams: Target | None,
        delivered: Callable[[Answer, Unit | None, float], None],
        *,
        keep: bool,
        looks: Looks,
        stateless: bool,
    ) -> None:
        self._looks = looks
        self._stateless = stateless
        self._images = images
        self._streams = streams
        self._target = images
        self._delivered = delivered
        self._kept = Kept() if keep else None
        self._call: StreamCall | None = None
        self._stream_id = ""
        self._codec: Codec | None = None
        self._orientation = UPRIGHT
        self._tracked = False
        self._changed = threading.Condition()
        self._unanswered: deque[_Sent] = deque()
        # Whether the last empty packet brought out a frame.
        self._gave_held = False
        self._broken: str | None = None
        self._fatal: FramewireError | None = None
        # Calls one after the other that met a model without its process.
        self._lost_processes = 0
        self._answered_at = time.monotonic()

    @property
    def target(self) -> Target:
        """Where the last unit went."""
        return self._target

    @property
    def targets(self) -> list[Target]:
        """Where units may go."""
        return [self._images] if self._streams is None else [self._images, self._streams]

    def retarget(self, targets: list[Target]) -> None:
        """Take what has become of ``targets``, between two calls."""
        self._images, *streams = targets
        self._streams = streams[0] if streams else None
        self._target = self._images

    @property
    def changed(self) -> threading.Condition:
        """Notified with every answer and when the call ends."""
        return self._changed

    @property
    def lost_process(self) -> bool:
        """Whether the last call met a model without its process, which takes a moment to mend."""
        return self._lost_processes > 0

    @property
    def unanswered(self) -> int:
        """Packets that were sent and not answered."""
        return len(self._unanswered)

    def broken(self, now: float) -> str | None:
        """Return why the call cannot go on, or None.

        Raises:
            FramewireError: another call would end in the same way.
        """
        with self._changed:
            if self._fatal is not None:
                raise self._fatal
            if self._broken is not None:
                return self._broken
            if self._call is not None and self._call.over:
                return self._why_over()
            if self._unanswered and now - self._answered_at > STALLED_S:
                since = self._unanswered[0].sent_at
                if now - since > STALLED_S:
                    return f"no answer for {STALLED_S:g} s"
        return None

    def send(self, unit: Unit, now: float, *, again: bool = False) -> None:
        """Send a unit; begins a stream with it where there is none of its kind.

        Args:
            unit: a key frame where a stream begins.
            now: monotonic seconds.
            again: it was sent before, over a call that was lost.
        """
        with self._changed:
            same = (self._codec, self._orientation) == (unit.codec, unit.orientation)
            start = self._call is None or not same
            if self._call is None:
                self._call = StreamCall(
                    self._images.stub, self._images.connection.metadata, self._answered, self._ended
                )
            elif start and self._target.streams:
                self._send_empty(now, end=True)
            if start:
                # Not the same id again: the server may not know yet that the last call is over.
                self._stream_id = f"client-{uuid.uuid4().hex[:16]}"
                self._codec, self._orientation = unit.codec, unit.orientation
                self._target = self._target_of(unit)
                self._tracked = bool(self._looks.wire(self._target.pipeline))
            if self._kept is not None and not again:
                self._kept.add(unit)
            self._put(_Sent(self._target, unit, now), self._request(unit, start=start))

    def give_up_unanswered(self) -> list[Unit] | None:
        """Forget the call; return what has to be sent once more, None where that is not kept."""
        with self._changed:
            self._unanswered.clear()
            call, self._call = self._call, None
            self._broken = None
            again = None if self._kept is None else self._kept.units()
        if call is not None:
            call.cancel()
        return again

    def take_held(self, timeout_s: float) -> bool:
        """Take out the frames that the decoder still holds; return whether all of them came.

        How many those are nobody but the decoder knows: a packet that was answered without a frame
        may have been the second field of one. It says when there are no more.
        """
        call = self._call
        with self._changed:
            while call is not None and self._target.streams:
                self._gave_held = False
                self._send_empty(time.monotonic(), end=False)
                self._changed.wait_for(lambda: not self._unanswered or call.over, timeout_s)
                if self._unanswered or self._broken is not None or self._fatal is not None:
                    return False
                if not self._gave_held:
                    break
            return not self._unanswered

    def stop(self, timeout_s: float = 1.0) -> None:
        """End the stream at the server; waits at most ``timeout_s`` for that."""
        with self._changed:
            call = self._call
            if call is not None and not call.over and self._target.streams:
                self._send_empty(time.monotonic(), end=True)
        if call is not None:
            call.close(timeout_s)
        with self._changed:
            self._call = None

    def _target_of(self, unit: Unit) -> Target:
        streams = self._streams
        if streams is None:
            return self._images
        followed = streams.pipeline.looks or streams.pipeline.tracks
        is_image = unit.codec is Codec.MJPEG and (self._stateless or not followed)
        return self._images if is_image else streams

    def _put(self, sent: _Sent, request: Any) -> None:
        assert self._call is not None  # noqa: S101
        if not self._unanswered:
            self._answered_at = sent.sent_at
        self._unanswered.append(sent)
        self._call.send(request)

    def _request(self, unit: Unit, *, start: bool) -> Any:
        target = self._target
        if not target.streams:
            return image_request(target.pipeline.model, unit.data, target.parameters)
        return packet_request(
            target.pipeline.model,
            unit.data,
            target.parameters,
            stream=self._stream_id,
            codec=unit.codec,
            timestamp_us=unit.timestamp_us,
            start=start,
            orientation=unit.orientation,
            begin=self._looks.wire(target.pipeline),
            look_outputs=target.pipeline.look_outputs,
        )

    def _send_empty(self, now: float, *, end: bool) -> None:
        request = packet_request(
            self._target.pipeline.model,
            b"",
            self._target.parameters,
            stream=self._stream_id,
            codec=self._codec or Codec.H264,
            timestamp_us=None,
            end=end,
            look_outputs=self._target.pipeline.look_outputs,
        )
        self._put(_Sent(self._target, None, now), request)

    def _answered(self, call: StreamCall, response: Any) -> None:
        now = time.monotonic()
        with self._changed:
            if call is not self._call or not self._unanswered:
                return  # of a call that was given up
            sent = self._unanswered.popleft()
            self._answered_at = now
            answer = None
            try:
                answer = self._read(response, sent)
            except FramewireError as error:
                self._fatal = error
            if answer is not None:
                # In here: who sees that nothing is unanswered may rely on having every result.
                self._delivered(answer, sent.unit, now)
                self._gave_held = sent.unit is None and has_frame(answer)
                if self._kept is not None:
                    self._kept.confirm(answer.timestamp_us)
            self._changed.notify_all()

    def _ended(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _read(self, response: Any, sent: _Sent) -> Answer | None:
        if not response.error_message:
            own_us = None if sent.target.streams or sent.unit is None else sent.unit.timestamp_us
            pipeline = sent.target.version_of(response.infer_response)
            if pipeline is None:
                # Its labels have to be read before any of its answers can be.
                self._broken = "the pipeline has another version"
                return None
            answer = read_answer(response.infer_response, pipeline, own_us)
            self._lost_processes = 0
            return self._with_tracks(answer)
        said = clean_sentence(response.error_message)
        for status, sentence in STATUS_SENTENCES.items():
            if status not in READ_STATUSES and sentence in said and sent.unit is not None:
                return Answer(Detections.failed(status, said), -1, sent.unit.timestamp_us)
        if has_lost_process(said) and self._broken is None:
            self._lost_processes += 1
        # It may be this very packet that ends it.
        mends = has_lost_process(said) and self._lost_processes <= MOST_LOST_PROCESSES
        if not (mends or _PASSING.search(said)):
            raise RequestRefused(f"the server refused the stream: {said}")
        self._broken = said
        return None

    def _with_tracks(self, answer: Answer) -> Answer:
        """Return an answer without the ids of a stream that nobody tracks, all of which are 0.

        One that is tracked was begun so, or the pipeline tracks all: an id tells.
        """
        found = answer.detections
        if self._tracked or found.track_ids is None:
            return answer
        self._tracked = bool(found.track_ids.any())
        if self._tracked:
            return answer
        return replace(answer, detections=replace(found, track_ids=None))

    def _why_over(self) -> str:
        error = self._call.error if self._call else None
        if error is None:
            return "the server ended the call"
        if not isinstance(error, grpc.RpcError):
            raise error
        request = service_pb2.ModelInferRequest(model_name=self._target.pipeline.model)
        failure = diagnose(error, request, self._target.connection.url, None)
        if not is_transient(error):
            raise failure
        return str(failure)
