"""The thread that reads a source, and opens a live one again when it breaks off."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from thin_client.errors import SourceUnreadable
from thin_client.streaming.inbox import Inbox, Item
from thin_client.streaming.source import VideoSource
from thin_client.streaming.wishes import Source

__all__ = ["Reader"]

_logger = logging.getLogger("thin_client")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0


class Reader:
    """Puts what a source gives into an inbox.

    Args:
        source: an open one; closed when ``run`` ends.
        reopen: opens it again.
        inbox: to put its frames into.
        late: takes the picture of a unit that was put in before it.
        say: called with a sentence when the source is opened again.

    Attributes:
        pictures: also decode what passes as packets.
        paced: give a file's frames when they are due.
        divisor: of decoded pictures every so many are put in.
    """

    def __init__(
        self,
        source: VideoSource,
        reopen: Callable[[], VideoSource],
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
        self.divisor = 1

    @property
    def about(self) -> Source:
        """What the source says of itself by now."""
        return self._source.about

    @property
    def decoding(self) -> bool:
        """Whether pictures are put in, and not packets."""
        return self._source.decoding

    @decoding.setter
    def decoding(self, wanted: bool) -> None:
        self._source.decoding = wanted

    def run(self, stopped: threading.Event) -> None:
        """Read until the source is over or ``stopped`` is set.

        Raises:
            SourceUnreadable: a file broke off.
        """
        pause_s = _FIRST_PAUSE_S
        while not stopped.is_set():
            reason, count = "it ended", 0
            try:
                for item in self._source.items(pictures=self.pictures, paced=self.paced):
                    if stopped.is_set():
                        break
                    self._put(item, count)
                    count += 1
            except SourceUnreadable as error:
                if not self._source.live:
                    raise
                reason = str(error)
            if not self._source.live or stopped.is_set():
                break
            pause_s = _FIRST_PAUSE_S if count else min(_LONGEST_PAUSE_S, 2 * pause_s)
            self._say(f"{self._source.name}: {reason}; opening it again")
            stopped.wait(pause_s)
            self._open_again()
        self._source.close()
        self._inbox.end()

    def _put(self, item: Item, count: int) -> None:
        if item.unit is None and not self.decoding:
            # The picture of a unit that has left: only of use to whoever draws into it.
            self._late(item)
        elif item.unit is not None or count % self.divisor == 0:
            self._inbox.put(item, time.monotonic())

    def _open_again(self) -> None:
        decoding = self.decoding
        self._source.close()
        try:
            self._source = self._reopen()
        except SourceUnreadable as error:
            # Reading the closed one fails, and leads here once more.
            _logger.debug("%s", error)
        self.decoding = decoding
        self._inbox.need_key()
