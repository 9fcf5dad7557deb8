"""One ping for all streams of a connection."""

from __future__ import annotations

import threading

from tests.thin_client.streaming.server import streaming_server
from thin_client import Detector


class Listener:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.left: list[float] = []
        self.back: list[float] = []
        self.third = threading.Event()

    def pinged(self, now: float) -> None:
        self.left.append(now)

    def ping_answered(self, now: float) -> None:
        self.back.append(now)
        if len(self.back) == 3:
            self.third.set()


def test_all_listeners_are_told_of_the_same_pings() -> None:
    with streaming_server() as server, Detector(server.url) as detector:
        _, pings = detector.stream_link()
        measured = server.fake.calls["ServerLive"]
        listeners = [Listener() for _ in range(3)]
        with pings:
            for listener in listeners:
                pings.listen(listener)
            assert all(listener.third.wait(20) for listener in listeners)
        asked = server.fake.calls["ServerLive"] - measured
    assert asked <= max(len(listener.left) for listener in listeners) + 1
    for listener in listeners:
        assert all(left <= back for left, back in zip(listener.left, listener.back, strict=False))


def test_who_left_is_told_of_nothing() -> None:
    with streaming_server() as server, Detector(server.url) as detector:
        _, pings = detector.stream_link()
        first, second = Listener(), Listener()
        with pings:
            pings.listen(first)
            assert first.third.wait(20)
            pings.leave(first)
            told = len(first.left)
            pings.listen(second)
            assert second.third.wait(20)
            # One may have been about to leave.
            assert len(first.left) <= told + 1


def test_a_server_that_is_away_is_asked_again() -> None:
    with streaming_server() as server, Detector(server.url) as detector:
        _, pings = detector.stream_link()
        listener = Listener()
        with pings:
            server.stop()
            pings.listen(listener)
            assert listener.third.wait(30)
