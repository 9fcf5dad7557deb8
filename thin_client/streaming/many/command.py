"""``framewire-client stream`` with several sources, or with a list of them that changes."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from thin_client.client import Detector
from thin_client.errors import OutputUnwritable
from thin_client.parameters import RequestParameters
from thin_client.printing import counts_text, json_line
from thin_client.streaming.command import StreamOptions, is_fine, record
from thin_client.streaming.many.changes import follow_file, follow_input
from thin_client.streaming.many.feed import Feed
from thin_client.streaming.many.feeds import Feeds
from thin_client.streaming.many.metrics import MetricsEndpoint, metrics_text
from thin_client.streaming.many.names import NamedSource, sources_in
from thin_client.streaming.many.view import ManyView
from thin_client.streaming.state import State
from thin_client.streaming.stream import StreamResult, VideoStream

__all__ = ["detect_in_streams"]

_LOOK_S = 0.1


def detect_in_streams(
    detector: Detector,
    sources: Sequence[str],
    parameters: RequestParameters,
    *,
    json_lines: bool,
    out: str | None,
    trails: bool,
    frames: int | None,
    sources_from: str | None,
    metrics_port: int | None,
    options: StreamOptions,
) -> bool:
    """Print what is in the frames of several streams, and how each is; return whether all was fine.

    Ends when all sources are over; one with a list of sources that is watched does not end.

    Raises:
        FramewireError: nothing can be streamed at all.
    """
    if out or trails:
        raise OutputUnwritable("an annotated video (--out, --trails) is made of one source")
    first = sources_in(sources)
    results = _Results(json_lines=json_lines, frames=frames)
    with contextlib.ExitStack() as open_things:
        link, pings = detector.stream_link()
        open_things.callback(pings.close)
        view = ManyView(lambda: feeds.feeds)
        feeds = Feeds(
            detector,
            link,
            pings,
            parameters,
            options,
            pictures=False,
            take=results.take,
            told=lambda feed: _told(feed, results, view),
            say=view.say,
        )
        open_things.callback(view.wipe)
        if metrics_port is not None:
            endpoint = MetricsEndpoint(metrics_port, lambda: metrics_text(feeds.feeds))
            open_things.enter_context(endpoint)
            view.say(f"metrics on http://127.0.0.1:{endpoint.port}/metrics")
        open_things.enter_context(feeds)
        feeds.become(first)
        watching = _follow(sources_from, feeds, first, view, open_things)
        while watching() or not feeds.idle:
            feeds.check()
            for feed in feeds.feeds:
                feed.look()
            view.show()
            with feeds.changed:
                feeds.changed.wait(_LOOK_S)
        feeds.check()
        all_fine = results.all_fine and all(
            feed.state[0] is not State.FAILED for feed in feeds.feeds
        )
        view.wipe()
        for feed in feeds.feeds:
            results.end(feed)
    return all_fine


def _follow(
    sources_from: str | None,
    feeds: Feeds,
    besides: Sequence[NamedSource],
    view: ManyView,
    open_things: contextlib.ExitStack,
) -> Callable[[], bool]:
    """Follow a list of sources in a thread; what is returned says whether more may come."""
    if sources_from is None:
        return lambda: False
    if sources_from == "-":
        following = threading.Thread(
            target=follow_input, args=(sys.stdin, feeds, view.say), daemon=True
        )
    else:
        stopped = threading.Event()
        open_things.callback(stopped.set)
        following = threading.Thread(
            target=follow_file,
            args=(Path(sources_from), feeds, stopped, view.say, besides),
            daemon=True,
        )
    following.start()
    return following.is_alive


class _Results:
    """Lines on stdout, of all sources; safe between threads.

    Args:
        json_lines: a line a frame, and one for each new state.
        frames: results of a source after which it is over; None: all.

    Attributes:
        all_fine: whether no frame failed.
    """

    def __init__(self, *, json_lines: bool, frames: int | None) -> None:
        self._json_lines = json_lines
        self._frames = frames
        self._lock = threading.Lock()
        self._counts: dict[str, Counter[str]] = {}
        self._taken: Counter[str] = Counter()
        self.all_fine = True

    def take(self, feed: Feed, stream: VideoStream, result: StreamResult) -> bool:
        """Print a result; return whether its source is to go on."""
        name = feed.source.name
        # Made outside of the lock, which all sources want.
        line = json_line({"source": name, **record(result, stream.sample_aspect_ratio)})
        with self._lock:
            self._taken[name] += 1
            self._counts.setdefault(name, Counter()).update(result.detections.labels)
            self.all_fine = self.all_fine and is_fine(result)
            if self._json_lines:
                print(line, flush=True)
            return self._taken[name] != self._frames

    def told(self, feed: Feed) -> None:
        """Print a source's new state."""
        state, reason = feed.state
        why = {"reason": reason} if reason else {}
        with self._lock:
            if state is State.OPENING:
                self._taken[feed.source.name] = 0
            if self._json_lines:
                line = {"source": feed.source.name, "state": state.value, **why}
                print(json_line(line), flush=True)

    def end(self, feed: Feed) -> None:
        """Print what a source has come to."""
        name, totals = feed.source.name, feed.totals
        with self._lock:
            if self._json_lines:
                print(json_line({"source": name, "statistics": vars(totals)}), flush=True)
                return
            counts = self._counts.get(name, Counter())
            print(
                f"{name}: {totals.frames} frames, {totals.looked_at} looked at,"
                f" {totals.dropped} dropped, {totals.thinned_out} thinned out,"
                f" {counts_text(counts)}",
                flush=True,
            )


def _told(feed: Feed, results: _Results, view: ManyView) -> None:
    results.told(feed)
    state, reason = feed.state
    view.say(f"{feed.source.name}: {state.value}{f', {reason}' if reason else ''}")
