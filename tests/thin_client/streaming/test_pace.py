from __future__ import annotations

from collections.abc import Sequence

from thin_client.streaming.pace import Pace


def moments(due_us: Sequence[int], *, read_s: float = 0.0) -> list[float]:
    """When frames come, from the first one on; reading each takes so long."""
    now, came = 1000.0, []

    def wait(seconds: float) -> None:
        nonlocal now
        assert seconds >= 0
        now += seconds

    pace = Pace(wait, lambda: now)
    for each in due_us:
        now += read_s
        pace.wait_for(each)
        came.append(now)
    return [round(moment - came[0], 6) for moment in came]


def test_frames_come_when_they_are_due_from_the_first_on() -> None:
    assert moments([70_000, 110_000, 150_000]) == [0, 0.04, 0.08]


def test_what_reading_takes_makes_nothing_later() -> None:
    assert moments([0, 40_000, 80_000, 120_000], read_s=0.03) == [0, 0.04, 0.08, 0.12]


def test_who_was_slow_catches_up() -> None:
    assert moments([0, 40_000, 200_000], read_s=0.1) == [0, 0.1, 0.2]


def test_no_frame_is_waited_for_longer_than_ten_seconds() -> None:
    hours = 5 * 3_600_000_000
    assert moments([0, 9_000_000, hours, hours + 40_000]) == [0, 9, 19, 19.04]
