"""The thread that reads a source, and opens a live one again when it breaks off."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from thin_client.errors import SourceUnreadable
from thin_client.streaming.inbox import Inbox, Item
from thin_client.streaming.pace import Pace
from thin_client.streaming.rate_limit import RateLimit
from thin_client.streaming.source import VideoSource
from thin_client.streaming.thinning import Thinner
from thin_client.streaming.wishes import Source

__all__ = ["Reader"]

_logger = logging.getLogger("thin_client")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0


class Reader:
    """Puts what a source gives into an inbox.

    Args:
        source: an open one; closed when ``run`` ends.
        reopen: opens it again; its first frame has the time that it is given, microseconds.
        inbox: to put its frames into.
        late: takes the picture of a unit.
        say: called with a sentence when the source is opened again.

    Attributes:
        pictures: also decode what passes as packets.
        paced: give a file's frames when they are due.
        thinned_out: decoded pictures that were left out because fewer a second are wanted.
        away: why the source is being opened again; None while it is open.
        read_at: when it last gave something; monotonic seconds.
    """

    def __init__(
        self,
        source: VideoSource,
        reopen: Callable[[int], VideoSource],
        inbox: Inbox,
        late: Callable[[Item], None],
        say: Callable[[str], None],
        *,
        pictures: bool,
        paced: bool,
    ) -> None:
        self._source = source
        self._reopen = reopen
        self._inbox = inbox
        self._late = late
        self._say = say
        self.pictures = pictures
        self.paced = paced
        self.thinned_out = 0
        self.away: str | None = None
        self.read_at = time.monotonic()
        self._lost = 0  # of what the open source could make nothing of, counted so far
        self._thinner = Thinner(None, source.about.fps)

    @property
    def about(self) -> Source:
        """What the source says of itself by now."""
        return self._source.about

    @property
    def live(self) -> bool:
        """Whether the source goes on whether or not somebody reads."""
        return self._source.live

    @property
    def decoding(self) -> bool:
        """Whether pictures are put in, and not packets."""
        return self._source.decoding

    @decoding.setter
    def decoding(self, wanted: bool) -> None:
        self._source.decoding = wanted

    def thin_out(self, fps: float | None) -> None:
        """Put in so many decoded pictures a second, None: all; packets are all put in."""
        self._thinner = Thinner(fps, self.about.fps)

    def run(self, stopped: threading.Event) -> None:
        """Read until the source is over or ``stopped`` is set.

        Raises:
            SourceUnreadable: a file broke off.
        """
        try:
            self._run(stopped)
        finally:
            self._source.close()

    def _run(self, stopped: threading.Event) -> None:
        pause_s = _FIRST_PAUSE_S
        while not stopped.is_set():
            source, reason, count = self._source, "it ended", 0
            began = self.read_at = time.monotonic()
            limit = RateLimit(stopped.wait) if source.live else None
            try:
                pace = Pace(stopped.wait) if self.paced else None
                for item in source.items(pictures=self.pictures, pace=pace):
                    if stopped.is_set():
                        break
                    self.read_at = time.monotonic()
                    self._put(item)
                    count += 1
                    if limit is not None:
                        limit.count(self.read_at)
            except SourceUnreadable as error:
                if not source.live:
                    raise
                reason = str(error)
            finally:
                self._count_lost()
            if not source.live or stopped.is_set():
                break
            pause_s = _FIRST_PAUSE_S if count else min(_LONGEST_PAUSE_S, 2 * pause_s)
            self.away = reason
            self._say(f"{source.name}: {reason}; opening it again")
            stopped.wait(pause_s)
            # Its clock begins anew; ours has gone on.
            self._open_again(stopped, source.last_us, self.read_at if count else began)
            self.away, self.read_at = None, time.monotonic()

    def _put(self, item: Item) -> None:
        self._count_lost()
        if item.unit is None and not self.decoding:
            # The picture of a unit that has left: only of use to whoever draws into it.
            self._late(item)
        elif item.unit is not None or self._thinner.wants(item.timestamp_us):
            self._inbox.put(item, time.monotonic())
        else:
            self.thinned_out += 1

    def _count_lost(self) -> None:
        lost = self._source.lost - self._lost
        if lost:
            self._lost += lost
            self._inbox.count_dropped(lost)

    def _open_again(self, stopped: threading.Event, last_us: int, since: float) -> None:
        """Open the source again, however long it is away; its clock goes on where ours is."""
        decoding, pause_s = self.decoding, _FIRST_PAUSE_S
        self._source.close()
        while not stopped.is_set():
            away_us = round(1e6 * (time.monotonic() - since))
            try:
                self._source = self._reopen(last_us + away_us)
            except SourceUnreadable as error:
                self.away = str(error)
                _logger.debug("%s", error)
                pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)
                stopped.wait(pause_s)
                continue
            self._lost = 0
            self.decoding = decoding
            self._inbox.need_key()
            return
