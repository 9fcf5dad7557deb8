"""A video on its way through a pipeline: read, encoded where needed, sent, answered."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

from thin_client.closing import Closing
from thin_client.detections import Detections
from thin_client.errors import SourceUnreadable
from thin_client.streaming.control import LinkControl
from thin_client.streaming.encoding import Encoder
from thin_client.streaming.inbox import Inbox, Item
from thin_client.streaming.ledger import BROKEN, Ledger
from thin_client.streaming.link import Link
from thin_client.streaming.looks import EVERY_FRAME, Looks
from thin_client.streaming.meter import Counts, Meter, StreamStatistics
from thin_client.streaming.packets import Answer
from thin_client.streaming.pings import Pings
from thin_client.streaming.plan import Plan, sentence
from thin_client.streaming.planning import Planning
from thin_client.streaming.reading import Reader
from thin_client.streaming.session import STALLED_S, Session
from thin_client.streaming.source import VideoSource
from thin_client.streaming.state import SILENT_S, State
from thin_client.streaming.target import Target, measured, wait_until_ready
from thin_client.streaming.thinning import SAME_RATE
from thin_client.streaming.units import Unit
from thin_client.streaming.wishes import Wishes

__all__ = ["StreamResult", "VideoStream"]

_logger = logging.getLogger("thin_client")

_LOOK_S = 0.2  # between two looks at the link
_WAIT_S = 0.02
# Results that nobody has taken; with more, nothing is sent.
_MOST_RESULTS = 64
# A supervisor needs so long to notice a process that died, and to end its server.
_LOST_PROCESS_S = 0.5


@dataclass(frozen=True, eq=False)
class StreamResult:
    """What was found in one frame of a stream.

    Attributes:
        timestamp_us: of the frame, microseconds from the first one, as the source has it; goes up
            from result to result, whatever the source's clock does.
        detections: in pixels of the frame as it was sent, turned upright; see ``scale``.
        latency_s: from when the source gave the frame to its boxes, encoding included.
        scale: source pixels for each pixel of the frame that was sent.
        picture: the upright frame itself (av.VideoFrame), where pictures were asked for.
        looked_at: whether the network saw this frame; else its boxes are the tracker's, or, where
            nobody tracks, there are none and the status is ``NOT_LOOKED_AT``.
    """

    timestamp_us: int
    detections: Detections
    latency_s: float
    scale: float = 1.0
    picture: Any = None
    looked_at: bool = True


class VideoStream(Closing):
    """Detections in the frames of a video, as fast as link and server take them and no later.

    Iterating yields a StreamResult for every frame that was answered, in order. Made by
    ``Detector.video_stream``, whose arguments these are.

    Attributes:
        link: as it was measured before the first frame.
        plan: what is sent at the moment.
        sample_aspect_ratio: width to height of a pixel of the upright frame; boxes are in pixels
            as they are stored.
    """

    def __init__(
        self,
        images: Target,
        streams: Target | None,
        source: str,
        wishes: Wishes,
        *,
        every_frame: bool = False,
        most_in_flight: int = 16,
        pictures: bool = False,
        give_up_s: float = 300.0,
        looks: Looks = EVERY_FRAME,
        link: Link | None = None,
        pings: Pings | None = None,
        rtsp_transport: str = "auto",
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._say = say or _logger.info
        self._every_frame = every_frame
        self._pictures = pictures
        self._give_up_s = give_up_s
        # The link first: what a live source gives meanwhile would be late.
        self.link = link or measured(images)
        open_source = partial(VideoSource, source, wishes.fps, rtsp_transport=rtsp_transport)
        opened = open_source()
        if every_frame and opened.live:
            opened.close()
            raise SourceUnreadable(
                f"{opened.name} is live, so frames are lost whenever the link is slower;"
                " every frame (--every-frame) can be had of files only"
            )
        # Where every frame counts time does not, and packets as they are lose nothing.
        self._wishes = replace(wishes, fewer_frames=not every_frame, reencode=not every_frame)
        looks = looks.of(live=opened.live)
        spared = streams is not None and not wishes.stateless and looks.fewer(streams.pipeline)
        now = time.monotonic()
        self._control = LinkControl(self.link, now, most_in_flight, looks_spared=spared)
        self._planning = Planning(opened.about, self._wishes, self.link, now, looks_spared=spared)
        self._session = Session(
            images,
            streams,
            self._delivered,
            keep=every_frame,
            looks=looks,
            stateless=wishes.stateless,
        )
        self._inbox = Inbox(every_frame)
        self._meter = Meter()
        self._ledger = Ledger()
        self._results: queue.Queue[StreamResult | Exception | None] = queue.Queue()
        self._stopped = threading.Event()
        self._away: str | None = None  # why the server does not answer
        self._again: list[Unit] = []
        self._encoder: Encoder | None = None
        self._encoder_is_of_use = True
        self._lock = threading.Lock()
        self._say(sentence(self.plan, opened.about, self.link))
        self._reader = Reader(
            opened,
            lambda begin_us: open_source(begin_us=begin_us),
            self._inbox,
            self._draw_into,
            self._say,
            pictures=pictures,
            paced=not every_frame,
        )
        self._reader.decoding = not self.plan.passing
        self._thin_out()
        if opened.live:
            self._inbox.begin_at_key()
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (("framewire-source", self._read), ("framewire-send", self._send))
        ]
        self._pings = pings or Pings(images.stub, images.connection.metadata)
        self._has_own_pings = pings is None
        for thread in self._threads:
            thread.start()
        self._pings.listen(self)

    @property
    def plan(self) -> Plan:
        """What is sent at the moment."""
        return self._planning.plan

    @property
    def sample_aspect_ratio(self) -> Fraction:
        """Width to height of a pixel; 1 where it is square or the source does not say."""
        return self._reader.about.sample_aspect_ratio

    @property
    def state(self) -> tuple[State, str]:
        """How the stream is, and why where it does not go on."""
        if self._away is not None:
            return State.WAITING, self._away
        if self._reader.away is not None:
            return State.WAITING, self._reader.away
        silent_s = time.monotonic() - self._reader.read_at
        if self._reader.live and silent_s > SILENT_S:
            return State.STALLED, f"nothing has come for {silent_s:.0f} s"
        return State.STREAMING, ""

    def statistics(self, *, whole: bool = False) -> StreamStatistics:
        """Return how the stream is doing: over the last seconds, or over all of it."""
        with self._lock:
            counts = Counts(
                sent=self._ledger.sent,
                dropped=self._dropped,
                thinned_out=self._reader.thinned_out,
            )
            if whole:
                return self._meter.whole(counts)
            return self._meter.recent(time.monotonic(), counts)

    @property
    def _dropped(self) -> int:
        return self._inbox.dropped + self._ledger.lost

    def stop(self) -> None:
        """Have whoever iterates get no more; returns at once. ``close`` lets go of everything."""
        self._stopped.set()
        self._inbox.end()
        self._results.put(None)

    def close(self) -> None:
        """End the stream; what is under way is not waited for."""
        self._stopped.set()
        self._inbox.end()
        self._pings.leave(self)
        if self._has_own_pings:
            self._pings.close()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout=5.0)
        self._session.stop()

    def __iter__(self) -> Iterator[StreamResult]:
        """Yield results until the source is over.

        Raises:
            FramewireError: the stream cannot go on; what was read before is answered first where
                it is the source that broke.
        """
        _, sender = self._threads
        while True:
            goes_on = sender.is_alive() and not self._stopped.is_set()
            try:
                # In short waits, so that a Ctrl-C is seen.
                result = self._results.get(timeout=0.5)
            except queue.Empty:
                if not goes_on:
                    return
                continue
            if result is None:
                return
            if isinstance(result, Exception):
                raise result
            yield result

    # The thread that reads.

    def _read(self) -> None:
        error = None
        try:
            self._reader.run(self._stopped)
        except Exception as fault:  # noqa: BLE001 - raised where results are taken
            error = fault
        # Whatever ended it, the thread that sends goes on with what it has read.
        self._inbox.end(error)

    # The thread that sends.

    def _send(self) -> None:
        try:
            self._send_all()
        except Exception as error:  # noqa: BLE001 - likewise
            self._stopped.set()
            self._inbox.end()
            self._results.put(error)
        else:
            self._results.put(self._inbox.error)

    def _send_all(self) -> None:
        looked = 0.0
        while not self._stopped.is_set():
            now = time.monotonic()
            reason = self._session.broken(now)
            if reason is not None:
                self._reconnect(reason)
                continue
            if now - looked >= _LOOK_S:
                looked = now
                self._look(now)
            if not self._room():
                with self._session.changed:
                    woken = self._session.changed.wait(_WAIT_S)
                if not woken:
                    self._count_sleep(now)
                continue
            if self._again:
                self._leave(self._again.pop(0), again=True)
                continue
            asleep = time.monotonic()
            item = self._inbox.get(_WAIT_S)
            if item is not None:
                self._leave_item(item)
                continue
            self._count_sleep(asleep)
            if self._inbox.finished and not self._session.unanswered:
                complete = self._session.take_held(timeout_s=STALLED_S)
                if complete or not self._every_frame:
                    with self._lock:
                        self._ledger.ended(complete=complete, fields=self._fields)
                    break

    @property
    def _fields(self) -> bool:
        return self._reader.about.fields and not self._reader.decoding

    def pinged(self, now: float) -> None:
        """Take that a ping left; called by Pings."""
        with self._lock:
            self._control.pinged(now)

    def ping_answered(self, now: float) -> None:
        """Take that it came back."""
        with self._lock:
            self._control.ping_answered(now)

    def _count_sleep(self, since: float) -> None:
        now = time.monotonic()
        with self._lock:
            self._control.overslept(now, max(0.0, now - since - _WAIT_S))

    def _room(self) -> bool:
        if self._results.qsize() >= _MOST_RESULTS:
            return False
        expected = round(self.plan.bits_per_s / self.plan.fps / 8)
        with self._lock:
            return self._control.has_room(expected)

    def _leave_item(self, item: Item) -> None:
        if item.unit is not None:
            scale, unit = 1.0, item.unit
        else:
            if self._encoder is None or not self._encoder_is_of_use:
                self._encoder, self._encoder_is_of_use = Encoder(self.plan), True
            unit = self._encoder.encode(item.picture, item.timestamp_us, item.taken_at)
            scale = self._reader.about.width / self.plan.width
            self._planning.learn(len(unit.data))
        with self._lock:
            self._ledger.leaves(unit, scale, item.picture if self._pictures else None)
        self._leave(unit)

    def _leave(self, unit: Unit, *, again: bool = False) -> None:
        now = time.monotonic()
        with self._lock:
            self._control.sent(now, len(unit.data))
            self._meter.sent(now, len(unit.data))
        self._session.send(unit, now, again=again)

    def _look(self, now: float) -> None:
        """Ask the link what it carries, and change the plan when that has become another."""
        flushed, self._inbox.flushes = self._inbox.flushes > 0, 0
        with self._lock:
            bits_per_s = self._control.update(now)
            link_is_late = self._control.link_was_late(now)
            self._meter.dropped(now, self._dropped)
        old = self.plan
        if not self._planning.follow(
            now, self._reader.about, bits_per_s, flushed=flushed, link_is_late=link_is_late
        ):
            return
        plan, self._encoder = self.plan, None
        if plan.fps != old.fps:
            self._thin_out()
        if plan.passing != old.passing:
            self._reader.decoding = not plan.passing
            self._inbox.need_key()
        if replace(plan, bits_per_s=old.bits_per_s, quality=old.quality) != old:
            link = replace(self.link, bits_per_s=bits_per_s)
            self._say(f"changed: {sentence(plan, self._reader.about, link)}")

    def _thin_out(self) -> None:
        about = self._reader.about
        # Where all that the source says it gives is wanted, it may still give more.
        fewer = self.plan.fps * SAME_RATE < about.fps
        self._reader.thin_out(self.plan.fps if fewer else self._wishes.fps)

    def _reconnect(self, reason: str) -> None:
        began = time.monotonic()
        dropped = self.statistics().dropped
        again = self._session.give_up_unanswered()
        with self._lock:
            self._control.lost()
            self._ledger.interrupted({unit.timestamp_us for unit in again or ()})
        self._away = reason
        self._again = again or []
        if again is None:
            self._inbox.need_key()
        self._encoder = None
        self._say(f"the stream stopped: {reason.rstrip('.')}; connecting again")
        if self._session.lost_process:
            # Triton calls the model ready all the while.
            self._stopped.wait(_LOST_PROCESS_S)
        targets = wait_until_ready(
            self._session.target, self._session.targets, self._give_up_s, self._stopped
        )
        if targets is not None:
            self._session.retarget(targets)
            self._away = None
            away_s = time.monotonic() - began
            missed = self.statistics().dropped - dropped
            what = f"{len(again)} sent once more" if again else f"{missed} dropped"
            self._say(f"connected again after {away_s:.1f} s, going on at a key frame; {what}")

    # In the thread of the call.

    def _delivered(self, answer: Answer, unit: Unit | None, now: float) -> None:
        with self._lock:
            self._control.answered(now)
            if answer.detections.status in BROKEN:
                # The decoder lost its thread: it needs a key frame, which the next encoder gives.
                self._encoder_is_of_use = False
            arrived = self._ledger.answered(answer, unit, fields=self._fields)
            if arrived is None:
                return
            latency_s = now - arrived.taken_at
            self._meter.answered(now, latency_s, looked_at=answer.looked_at)
        self._results.put(
            StreamResult(
                arrived.time_us,
                answer.detections,
                latency_s,
                arrived.scale,
                arrived.picture,
                answer.looked_at,
            )
        )

    def _draw_into(self, item: Item) -> None:
        with self._lock:
            self._ledger.draw_into(item.timestamp_us, item.picture)
