from __future__ import annotations

import itertools

import pytest

from thin_client.streaming.source_rate import measured_fps, read_for_a_while


def times_us(fps: float, count: int, jitter_us: int = 0) -> list[int]:
    return [round(1e6 * number / fps) + number % 2 * jitter_us for number in range(count)]


@pytest.mark.parametrize("said_fps", [25.0, 5.0, 90.0])
@pytest.mark.parametrize("fps", [60, 12.5, 1])
def test_a_rate_is_that_of_the_times(fps: float, said_fps: float) -> None:
    assert measured_fps(times_us(fps, 30, jitter_us=2000), said_fps) == pytest.approx(fps, rel=0.01)


def test_a_rate_that_is_about_right_is_believed() -> None:
    assert measured_fps(times_us(25, 26, jitter_us=9000), 25.0) == 25.0
    assert measured_fps(times_us(29.97, 31), 30.0) == 30.0


def test_a_clock_that_is_set_meanwhile_is_no_low_rate() -> None:
    times = [at + 5_000_000 * (number > 7) for number, at in enumerate(times_us(60, 30))]
    assert measured_fps(times, 25.0) == pytest.approx(60, rel=0.01)


def test_packets_that_had_waited_for_who_reads_them_are_no_high_rate() -> None:
    times = [0, 10, 20, 30, 40, 50, *(300_000 + at for at in times_us(20, 15))]
    assert measured_fps(times, 25.0, by_arrival=True) == pytest.approx(20, rel=0.01)


@pytest.mark.parametrize("times", [[], [7], [7, 7, 7]])
def test_too_few_times_say_nothing(times: list[int]) -> None:
    assert measured_fps(times, 25.0) == 25.0
    assert measured_fps(times, 25.0, by_arrival=True) == 25.0


@pytest.mark.parametrize(("fps", "count"), [(25, 26), (60, 61), (4, 8), (1000, 240)])
def test_what_is_read_is_bounded_in_time_and_number(fps: float, count: int) -> None:
    now = itertools.count()
    packets = (round(1e6 * number / fps) for number in itertools.count())
    assert len(read_for_a_while(packets, int, lambda: next(now) / fps)) == count


def test_a_source_that_ends_meanwhile_is_read_to_its_end() -> None:
    assert read_for_a_while([0, 40_000], int) == [0, 40_000]
