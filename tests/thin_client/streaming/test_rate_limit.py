"""A source that sends as fast as it can is read no faster than a camera gives."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.thin_client.streaming.rtsp import Camera
from tests.thin_client.streaming.server import streaming_server
from tests.thin_client.streaming.videos import annex_b, write_video
from thin_client import Detector
from thin_client.streaming import rate_limit
from thin_client.streaming.rate_limit import RateLimit


class Clock:
    """Seconds that go by only while somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def wait(self, seconds: float) -> None:
        self.now += seconds


def test_a_flood_is_held_at_the_rate_after_what_may_come_at_once() -> None:
    clock = Clock()
    limit = RateLimit(clock.wait)
    for _ in range(480):
        limit.count(clock.now)
    assert clock.now == 0
    for _ in range(2400):
        limit.count(clock.now)
    assert clock.now == pytest.approx(10)


def test_a_camera_is_never_waited_for() -> None:
    clock = Clock()
    limit = RateLimit(clock.wait)
    for number in range(6000):
        clock.now = max(clock.now, number / 120)
        limit.count(clock.now)
        assert clock.now == number / 120


def test_a_live_source_is_read_under_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate, burst = 40.0, 20.0
    monkeypatch.setattr(rate_limit, "MOST_PACKETS_PER_S", rate)
    monkeypatch.setattr(rate_limit, "_BURST", burst)
    units = annex_b(write_video(tmp_path / "video.mp4", key_every=5), "h264_mp4toannexb")
    with (
        closing(Camera(units, fps=0)) as camera,
        streaming_server() as server,
        Detector(server.url) as detector,
    ):
        began = time.monotonic()
        with detector.video_stream(camera.url) as stream:
            for _ in zip(range(60), stream, strict=False):
                pass
            read = stream.statistics().sent + stream.statistics().dropped
            # No clock here can make it more, however slow the machine is.
            assert read <= burst + rate * (time.monotonic() - began) + 1
