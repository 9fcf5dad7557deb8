"""A stream's conversation with the server: what is unanswered, what is lost, how it goes on."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tritonclient.grpc import service_pb2

from thin_client.contract import STATUS_SENTENCES, Codec, ImageStatus
from thin_client.detections import Detections
from thin_client.errors import FramewireError, RequestRefused
from thin_client.failures import clean_sentence, diagnose, has_lost_process, is_transient
from thin_client.retry import MOST_LOST_PROCESSES
from thin_client.streaming.call import StreamCall
from thin_client.streaming.packets import Answer, image_request, packet_request, read_answer
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
        delivered: called with every answer and the moment it came, in a thread of the call's own.
        keep: keep what is needed to send unanswered units once more, from their key frame on.
    """

    def __init__(
        self,
        images: Target,
        streams: Target | None,
        delivered: Callable[[Answer, float], None],
        *,
        keep: bool,
    ) -> None:
        self._images = images
        self._streams = streams
        self._target = images
        self._delivered = delivered
        self._keep = keep
        self._call: StreamCall | None = None
        self._stream_id = ""
        self._codec: Codec | None = None
        self._changed = threading.Condition()
        self._unanswered: deque[_Sent] = deque()
        # Units from the last key frame that all were delivered before, and how many of them are.
        self._kept: deque[Unit] = deque()
        self._confirmed = 0
        self._held = 0
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
        """Send a unit; begins a stream with it where there is none of its codec.

        Args:
            unit: a key frame where a stream begins.
            now: monotonic seconds.
            again: it was sent before, over a call that was lost.
        """
        with self._changed:
            start = self._call is None or self._codec is not unit.codec
            if self._call is None:
                self._call = StreamCall(
                    self._images.stub, self._images.connection.metadata, self._answered, self._ended
                )
            elif start and self._target.streams:
                self._send_empty(now, end=True)
            if start:
                # Not the same id again: the server may not know yet that the last call is over.
                self._stream_id = f"client-{uuid.uuid4().hex[:16]}"
                self._codec = unit.codec
                is_image = unit.codec is Codec.MJPEG or self._streams is None
                self._target = self._images if is_image else self._streams or self._images
            if self._keep and not again:
                self._kept.append(unit)
            self._put(_Sent(self._target, unit, now), self._request(unit, start=start))

    def ping(self, answered: Callable[[], None]) -> None:
        """Ask the server whether it lives; calls ``answered`` when it says so, or never will."""
        call = self._images.stub.ServerLive.future(
            service_pb2.ServerLiveRequest(),
            timeout=STALLED_S,
            metadata=self._images.connection.metadata,
        )
        call.add_done_callback(lambda _: answered())

    def give_up_unanswered(self) -> tuple[list[Unit], int]:
        """Forget the call; return what has to be sent once more, and how many were unanswered."""
        with self._changed:
            lost = sum(sent.unit is not None for sent in self._unanswered)
            self._unanswered.clear()
            call, self._call = self._call, None
            self._broken, self._held, self._confirmed = None, 0, 0
            again = list(self._kept)
        if call is not None:
            call.cancel()
        return again, lost

    def take_held(self, timeout_s: float) -> bool:
        """Take out the frames that the decoder still holds; return whether all of them came."""
        call = self._call
        with self._changed:
            while self._held > 0 and call is not None and not call.over:
                held, self._held = self._held, self._held - 1
                self._send_empty(time.monotonic(), end=False)
                if not self._changed.wait_for(
                    lambda: not self._unanswered or (call is not None and call.over), timeout_s
                ):
                    self._held = held
                    break
            return self._held == 0 and not self._unanswered

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
                self._delivered(answer, now)
                if self._keep:
                    self._confirm(answer)
            self._changed.notify_all()

    def _confirm(self, answer: Answer) -> None:
        """Let go of units that nobody will need again."""
        if answer.detections.status is not ImageStatus.NO_FRAME_YET and self._kept:
            self._confirmed = min(self._confirmed + 1, len(self._kept))
        if self._confirmed < len(self._kept) and self._kept[self._confirmed].key:
            for _ in range(self._confirmed):
                self._kept.popleft()
            self._confirmed = 0

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
            if answer.detections.status is ImageStatus.NO_FRAME_YET:
                self._held += 1
            return answer
        said = clean_sentence(response.error_message)
        for status, sentence in STATUS_SENTENCES.items():
            if status is not ImageStatus.OK and sentence in said and sent.unit is not None:
                return Answer(Detections.failed(status, said), -1, sent.unit.timestamp_us)
        if has_lost_process(said) and self._broken is None:
            self._lost_processes += 1
        # It may be this very packet that ends it.
        mends = has_lost_process(said) and self._lost_processes <= MOST_LOST_PROCESSES
        if not (mends or _PASSING.search(said)):
            raise RequestRefused(f"the server refused the stream: {said}")
        self._broken = said
        return None

    def _why_over(self) -> str:
        error = self._call.error if self._call else None
        if error is None:
            return "the server ended the call"
        request = service_pb2.ModelInferRequest(model_name=self._target.pipeline.model)
        failure = diagnose(error, request, self._target.connection.url, None)
        if not is_transient(error):
            raise failure
        return str(failure)
