from __future__ import annotations

import pytest

from thin_client.streaming.thinning import Thinner


def kept(fps: float, source_fps: float, seconds: float = 20.0, jitter_us: int = 0) -> list[int]:
    thinner = Thinner(fps, source_fps)
    count = round(seconds * source_fps)
    times = [
        round(1e6 * number / source_fps) + (jitter_us if number % 2 else 0)
        for number in range(count)
    ]
    return [time for time in times if thinner.wants(time)]


@pytest.mark.parametrize(
    ("fps", "source_fps"),
    [(25, 30), (10, 25), (15, 30), (29, 30), (1, 30), (0.5, 30), (12.5, 25), (24, 59.94), (7, 15)],
)
@pytest.mark.parametrize("jitter_us", [0, 3000])
def test_the_rate_is_what_was_asked_for_and_never_more(
    fps: float, source_fps: float, jitter_us: int
) -> None:
    times = kept(fps, source_fps, jitter_us=jitter_us)
    assert len(times) == pytest.approx(20 * fps, abs=1.01)
    # In any second of it, not only on average.
    for at, first in enumerate(times):
        assert sum(1 for time in times[at:] if time < first + 1_000_000) <= fps + 1


def test_frames_are_as_even_as_those_of_the_source_allow() -> None:
    gaps = {b - a for a, b in zip(kept(10, 25), kept(10, 25)[1:], strict=False)}
    assert gaps == {80_000, 120_000}
    assert {b - a for a, b in zip(kept(15, 30), kept(15, 30)[1:], strict=False)} <= {66_666, 66_667}


@pytest.mark.parametrize("fps", [30, 29.97, 60])
def test_a_rate_that_is_not_exceeded_keeps_every_frame(fps: float) -> None:
    assert len(kept(fps, 30)) == 600


def test_after_a_pause_frames_are_not_made_up_for() -> None:
    thinner = Thinner(10, 30)
    times = [0, *(60_000_000 + 33_333 * number for number in range(30))]
    assert sum(map(thinner.wants, times)) == pytest.approx(11, abs=1)


@pytest.mark.parametrize("fps", [25, 30, 10, 50])
@pytest.mark.parametrize("said_fps", [25.0, 10.0, 240.0])
def test_the_limit_holds_where_the_source_gives_more_than_it_says(
    fps: float, said_fps: float
) -> None:
    thinner = Thinner(fps, said_fps)
    times = [time for time in range(0, 20_000_000, 16_667) if thinner.wants(time)]
    assert 0.95 * 20 * fps <= len(times) <= 1.01 * 20 * fps + 1
    for at, first in enumerate(times):
        assert sum(1 for time in times[at:] if time < first + 1_000_000) <= 1.01 * fps + 1


def test_without_a_limit_every_frame_stays() -> None:
    thinner = Thinner(None, 25)
    assert all(thinner.wants(time) for time in range(0, 1_000_000, 100))
