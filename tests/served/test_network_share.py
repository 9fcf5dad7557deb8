"""Streams and pictures that both want more of the network than there is."""

from __future__ import annotations

import numpy as np
import pytest

import network_share
from network_share import AHEAD, NetworkShare, share_of_streams


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in seconds."""
    clock = [1000.0]
    monkeypatch.setattr(network_share.time, "monotonic_ns", lambda: int(clock[0] * 1e9))
    return clock


def both(share: float) -> tuple[NetworkShare, NetworkShare]:
    streams = share_of_streams("tiny_network", 1, share)
    pictures = NetworkShare(streams._words, streams._file, share)
    return streams, pictures


def run(share: float, batch: int, now: list[float]) -> tuple[int, int]:
    """Both sides always want more; return how many frames of streams and of pictures went."""
    streams, pictures = both(share)
    looked = seen = 0
    for _ in range(4000):
        now[0] += 0.001
        streams.streams_wait()
        if streams.streams_may:
            streams.streams_looked(1)
            looked += 1
        if pictures.pictures_may():
            pictures.pictures_go(batch)
            seen += batch
    return looked, seen


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_each_side_has_its_share(share: float, batch: int, now: list[float]) -> None:
    looked, seen = run(share, batch, now)
    assert looked / (looked + seen) == pytest.approx(share, abs=0.05)


def test_who_is_alone_waits_for_nothing(now: list[float]) -> None:
    streams, pictures = both(0.5)
    for _ in range(100):
        now[0] += 0.001
        assert pictures.pictures_may()
        pictures.pictures_go(16)
    assert streams._words is not None
    assert streams._words[AHEAD] == 0
    now[0] += 0.11
    for _ in range(100):
        now[0] += 0.001
        assert streams.streams_may
        streams.streams_looked(1)
    # And what it had alone is not held against it.
    streams.streams_wait()
    assert pictures.pictures_may()


def test_a_side_that_stops_is_waited_for_no_longer(now: list[float]) -> None:
    streams, pictures = both(0.5)
    streams.streams_wait()
    pictures.pictures_go(16)
    assert not pictures.pictures_may()
    now[0] += 0.11
    assert pictures.pictures_may()
    streams.streams_wait()
    assert not pictures.pictures_may()


def test_the_memory_is_found_by_its_name_only() -> None:
    streams = share_of_streams("tiny_network", 7, 0.5)
    assert isinstance(streams._words, np.ndarray)
    assert network_share._file_of_sibling("framewire-share-nobody-1") is None
