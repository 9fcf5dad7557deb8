"""The sources of one client, as they come and go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from thin_client.client import Detector
from thin_client.closing import Closing
from thin_client.errors import FramewireError
from thin_client.parameters import RequestParameters
from thin_client.streaming.command import StreamOptions
from thin_client.streaming.link import Link
from thin_client.streaming.many.feed import Feed
from thin_client.streaming.many.names import NamedSource
from thin_client.streaming.pings import Pings
from thin_client.streaming.state import State
from thin_client.streaming.stream import StreamResult, VideoStream

__all__ = ["Feeds"]

# For streams to be closed at the server; a camera may be in the middle of being opened.
_END_S = 6.0


class Feeds(Closing):
    """Streams sources at the same time over one connection, each in threads of its own.

    The link was measured once and is planned with in equal shares; each stream then follows what it
    finds. Nothing that one source does is waited for by another.

    Args:
        detector: whose connection they share.
        link: to its server, as it was measured.
        pings: of that connection.
        parameters: thresholds, of all of them.
        options: likewise.
        pictures: give each result its picture.
        take: called with each result in its source's thread; returns whether more are wanted.
        told: called with a source whose state has become another, in its thread.
        say: called with a sentence of a source.
    """

    def __init__(
        self,
        detector: Detector,
        link: Link,
        pings: Pings,
        parameters: RequestParameters,
        options: StreamOptions,
        *,
        pictures: bool,
        take: Callable[[Feed, VideoStream, StreamResult], bool],
        told: Callable[[Feed], None],
        say: Callable[[str], None],
    ) -> None:
        self._detector = detector
        self._link = link
        self._pings = pings
        self._parameters = parameters
        self._options = options
        self._pictures = pictures
        self._take = take
        self._told = told
        self._say = say
        self._lock = threading.Lock()
        self._feeds: dict[str, Feed] = {}
        self._leaving: list[Feed] = []
        self._error: FramewireError | None = None
        self.changed = threading.Condition()

    @property
    def feeds(self) -> list[Feed]:
        """Those that are wanted, over or not, in the order in which they came."""
        with self._lock:
            return list(self._feeds.values())

    @property
    def idle(self) -> bool:
        """Whether all are over."""
        return all(feed.over for feed in self.feeds)

    def check(self) -> None:
        """Say what went wrong for all of them.

        Raises:
            FramewireError: that.
        """
        if self._error is not None:
            raise self._error

    def add(self, source: NamedSource) -> bool:
        """Begin with a source; return False where one of its name is there and is not over."""
        return bool(self._add([source]))

    def _add(self, sources: Iterable[NamedSource]) -> list[Feed]:
        added = []
        with self._lock:
            for source in sources:
                there = self._feeds.get(source.name)
                if there is not None and not there.over:
                    continue
                feed = Feed(
                    source,
                    open_stream=self._open,
                    take=self._take,
                    told=self._tell,
                    fatal=self._fail,
                    give_up_s=self._options["give_up_s"],
                )
                # Last, also where its name was there before.
                self._feeds.pop(source.name, None)
                self._feeds[source.name] = feed
                added.append(feed)
        # Each has a share of the link, so all are known before the first is opened.
        for feed in added:
            feed.start()
        return added

    def remove(self, name: str) -> bool:
        """End a source, called by its name or its address; return whether there was one."""
        with self._lock:
            for known, feed in self._feeds.items():
                if name in (known, feed.source.address):
                    del self._feeds[known]
                    self._leaving = [each for each in self._leaving if not each.over] + [feed]
                    break
            else:
                return False
        feed.stop()
        return True

    def become(self, sources: Iterable[NamedSource]) -> None:
        """Have exactly these: end all others, begin with those that are new."""
        wanted = {source.name: source for source in sources}
        for feed in self.feeds:
            if wanted.get(feed.source.name) != feed.source:
                self.remove(feed.source.name)
        there = [feed.source for feed in self.feeds]
        self._add(source for source in wanted.values() if source not in there)

    def close(self) -> None:
        """End all of them."""
        with self._lock:
            feeds = [*self._feeds.values(), *self._leaving]
        for feed in feeds:
            feed.stop()
        for feed in feeds:
            feed.join(_END_S)

    def _open(self, feed: Feed) -> VideoStream:
        name = feed.source.name
        among = max(1, sum(not each.over for each in self.feeds))
        return self._detector.video_stream(
            feed.source.address,
            pictures=self._pictures,
            link=Link(self._link.rtt_s, self._link.bits_per_s / among),
            pings=self._pings,
            say=lambda sentence: self._say(f"{name}: {sentence.removeprefix(f'{name}: ')}"),
            **self._options,
            **self._parameters,
        )

    def _tell(self, feed: Feed) -> None:
        self._told(feed)
        if feed.state[0] in (State.ENDED, State.FAILED, State.REMOVED):
            with self.changed:
                self.changed.notify_all()

    def _fail(self, error: FramewireError) -> None:
        with self.changed:
            self._error = self._error or error
            self.changed.notify_all()
