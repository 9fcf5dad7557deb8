"""Which frames of a stream are due to be looked at, and which may be."""

from __future__ import annotations

import numpy as np
import pytest

from looks import DEFAULT_TRACKING, EVERY_FRAME, Looks, LookSettings, read_looks
from refusals import RefusedPacketError
from ticket_memory import ALLOWED, ROOM

AUTO = float("inf")


def looks(fps: float | None, *, allowed: int = 10**6) -> tuple[Looks, np.ndarray]:
    memory = np.zeros(ALLOWED + 2, np.int64)
    made = Looks(LookSettings(fps), memory, 1)
    memory[ALLOWED + 1] = allowed
    return made, memory


def taken(fps: float, frame_fps: float, seconds: float = 10) -> list[int]:
    """Return the numbers of the frames that are looked at, their times in whole microseconds."""
    made, _ = looks(fps)
    count = round(seconds * frame_fps)
    return [n for n in range(count) if made.take(round(n * 1e6 / frame_fps))]


def test_nothing_said_is_every_frame_and_asks_for_no_tracks() -> None:
    assert read_looks({}) == EVERY_FRAME
    assert not EVERY_FRAME.asks_for_tracks
    every = Looks()
    assert not every.chosen
    assert all(every.take(-1) for _ in range(9))


@pytest.mark.parametrize("value", ["auto", "AUTO", " auto "])
def test_auto_is_as_many_as_there_are(value: str) -> None:
    assert read_looks({"detect_fps": value}) == LookSettings(AUTO)


def test_tracking_has_the_defaults_of_what_is_not_said() -> None:
    said = read_looks({"track_high": "0.5"})
    assert said.tracking == (0.5, *DEFAULT_TRACKING[1:])
    assert said.asks_for_tracks
    assert said.tracked("asked")
    assert not said.tracked("off")
    assert EVERY_FRAME.tracked("all")
    assert not EVERY_FRAME.tracked("asked")


@pytest.mark.parametrize(
    "value", [None, [], {}, "", "nan", "inf", "1e3x", "٣", True, 10**40, "1" * 99]
)
def test_what_is_no_number_is_refused(value: object) -> None:
    if value is not None:
        with pytest.raises(RefusedPacketError, match="detect_fps"):
            read_looks({"detect_fps": value})
    with pytest.raises(RefusedPacketError, match="track_high"):
        read_looks({"track_high": value})


@pytest.mark.parametrize(
    ("fps", "frame_fps", "step"), [(10, 30, 3), (5, 30, 6), (15, 30, 2), (5, 25, 5), (1, 25, 25)]
)
def test_looks_come_at_even_steps(fps: float, frame_fps: float, step: int) -> None:
    assert taken(fps, frame_fps) == list(range(0, round(10 * frame_fps), step))


@pytest.mark.parametrize(
    ("fps", "frame_fps"), [(7, 30), (25, 30), (10, 29.97), (29, 30), (10, 12.5)]
)
def test_there_are_as_many_as_asked_for_whatever_the_rate(fps: float, frame_fps: float) -> None:
    assert abs(len(taken(fps, frame_fps)) - 10 * fps) <= 2


def test_a_camera_that_has_fewer_frames_has_all_of_them_looked_at() -> None:
    assert taken(30, 10) == list(range(100))


def test_punctual_and_late_frames_are_due_alike() -> None:
    made, _ = looks(10)
    rng = np.random.default_rng(1)
    times = np.arange(600) / 30 + rng.uniform(-0.004, 0.004, 600)
    assert abs(sum(made.take(int(time * 1e6)) for time in times + 1) - 200) <= 8


def test_frames_without_times_are_due_by_the_clock() -> None:
    now = [50.0]
    memory = np.zeros(ALLOWED + 1, np.int64)
    made = Looks(LookSettings(10), memory, 0, clock=lambda: now[0])
    memory[ALLOWED] = 10**6
    found = []
    for _ in range(90):
        found.append(made.take(-1))
        now[0] += 1 / 30
    assert sum(found) == 30


def test_a_clock_that_is_set_back_does_not_end_the_looks() -> None:
    made, _ = looks(10)
    for number in range(30):
        made.take(10**9 + number * 33_333)
    assert sum(made.take(number * 33_333) for number in range(30)) == 10


def test_no_look_is_taken_that_is_not_allowed() -> None:
    made, memory = looks(AUTO, allowed=0)
    assert not made.take(0)
    assert made.wants
    assert made.refused
    memory[ALLOWED + 1] = 1
    assert made.take(33_333)
    assert made.taken == 1
    assert not made.refused
    assert not made.take(66_666)


def test_the_first_frame_is_looked_at_where_there_is_room() -> None:
    for room in (0, 1):
        made, memory = looks(5, allowed=0)
        memory[ROOM] = room
        assert made.take(0) is bool(room)
        assert not made.take(33_333)


def test_a_look_is_wanted_one_frame_before_it_is_due() -> None:
    made, _ = looks(10)
    wanted = []
    for number in range(7):
        made.take(number * 33_333)
        wanted.append(made.wants)
    assert wanted[2:] == [True, False, False, True, False] or wanted[1:] == [
        *(False, True, False, False, True, False)
    ]


def test_a_look_that_was_refused_is_taken_with_the_next_frame() -> None:
    made, memory = looks(5, allowed=0)
    assert not made.take(0)
    memory[ALLOWED + 1] = 10
    assert made.take(33_333)
    # And the ones after it keep their distance.
    assert [n for n in range(2, 20) if made.take(n * 33_333)] == [6, 12, 18]


def test_a_stream_that_begins_has_no_looks_of_the_one_before_it_in_its_place() -> None:
    _, memory = looks(AUTO, allowed=5)
    Looks(LookSettings(AUTO), memory, 1)
    assert memory[ALLOWED + 1] == 0
