"""Times of packets and frames, from sources whose clocks are what they are."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from thin_client.streaming.clock import ShownTimes, SourceClock, Stamp

STEP = 40_000
HOUR = 3_600_000_000
WRAP = 2**33 * 100 // 9  # 33 bits of 90 kHz


def clock(*, may_jump: bool = True, start_us: int | None = None, begin_us: int = 0) -> SourceClock:
    return SourceClock(step_us=STEP, may_jump=may_jump, start_us=start_us, begin_us=begin_us)


def frames(count: int, *, first: int = 0) -> list[tuple[int, int]]:
    """Times of showing and decoding of frames without reordering."""
    return [(first + STEP * number, first + STEP * number) for number in range(count)]


def stamps(times: Sequence[tuple[int | None, int | None]], **options: object) -> list[Stamp]:
    made = clock(**options)  # type: ignore[arg-type]
    return [made.stamp(pts, dts) for pts, dts in times]


EVEN = [STEP * number for number in range(20)]


@pytest.mark.parametrize(
    "second",
    [5 * HOUR, -5 * HOUR, -(10 * STEP), 30_000_000, WRAP],
    ids=["hours on", "hours back", "the same again", "half a minute on", "wrapped"],
)
def test_a_clock_that_jumps_costs_one_frame_s_time(second: int) -> None:
    times = [*frames(10, first=HOUR), *frames(10, first=HOUR + 10 * STEP + second)]
    found = stamps(times)
    assert [stamp.due_us for stamp in found] == EVEN
    assert [stamp.frame_us for stamp in found] == EVEN
    assert all(stamp.shown for stamp in found)


def test_a_single_wrong_time_changes_no_other() -> None:
    times = frames(20)
    times[7] = (times[7][0] + HOUR, times[7][1] + HOUR)
    assert [stamp.frame_us for stamp in stamps(times)] == EVEN


def test_reordered_frames_keep_their_order_over_a_jump() -> None:
    # Decoded 0 2 1, shown one frame later than decoded.
    group = [(STEP, 0), (3 * STEP, STEP), (2 * STEP, 2 * STEP)]
    times = [*group, *((pts + HOUR, dts + HOUR) for pts, dts in group)]
    found = stamps(times, start_us=STEP)
    assert [stamp.frame_us for stamp in found] == [
        *(0, 2 * STEP, STEP),
        *(3 * STEP, 5 * STEP, 4 * STEP),
    ]


def test_a_pause_that_a_file_means_is_kept() -> None:
    times = [*frames(2), *frames(2, first=HOUR)]
    found = stamps(times, may_jump=False)
    assert [stamp.frame_us for stamp in found] == [0, STEP, HOUR, HOUR + STEP]


def test_a_short_pause_is_kept_everywhere() -> None:
    found = stamps([*frames(2), *frames(2, first=5_000_000)])
    assert [stamp.frame_us for stamp in found] == [0, STEP, 5_000_000, 5_000_000 + STEP]


def test_a_file_that_goes_back_goes_on() -> None:
    found = stamps([*frames(10), *frames(10)], may_jump=False)
    assert [stamp.frame_us for stamp in found] == EVEN


def test_without_any_times_frames_come_at_their_rate() -> None:
    found = stamps([(None, None)] * 20)
    assert [stamp.due_us for stamp in found] == EVEN
    assert not any(stamp.shown for stamp in found)


def test_a_time_that_is_missing_is_made_up_and_the_next_one_counts() -> None:
    times: list[tuple[int | None, int | None]] = list(frames(20))
    times[5] = (None, None)
    found = stamps(times)
    assert [stamp.due_us for stamp in found] == EVEN
    assert [number for number, stamp in enumerate(found) if not stamp.shown] == [5]


def test_a_packets_own_duration_counts_where_times_are_missing() -> None:
    made = clock()
    assert [made.stamp(None, None, 20_000).due_us for _ in range(3)] == [0, 20_000, 40_000]


def test_a_duration_that_no_frame_has_is_none() -> None:
    made = clock()
    durations = (0, 1, 9_999, HOUR, STEP)
    found = [made.stamp(None, None, duration).due_us for duration in durations]
    assert found == [STEP * number for number in range(5)]


def test_times_of_showing_alone_tell_when_to_decode() -> None:
    # Three frames between two others, as in Matroska, whose first packets have no other time.
    shown = [0, 4, 2, 1, 3, 8, 6, 5, 7]
    decoded = [None, None, None, 0, 1, 2, 3, 4, 5]
    times = [
        (STEP * pts, None if dts is None else STEP * dts)
        for pts, dts in zip(shown, decoded, strict=True)
    ]
    found = stamps(times)
    assert [stamp.frame_us for stamp in found] == [STEP * pts for pts in shown]
    due = [stamp.due_us for stamp in found]
    assert due == sorted(due)
    assert due[-1] <= shown[-1] * STEP
    without = [stamp.frame_us for stamp in stamps([(pts, None) for pts, _ in times])]
    assert without == [STEP * pts for pts in shown]


def test_a_time_of_showing_that_is_hours_from_that_of_decoding_is_none() -> None:
    times = [(STEP, STEP), (2 * STEP + HOUR, 2 * STEP), (3 * STEP, 3 * STEP)]
    assert [stamp.shown for stamp in stamps(times)] == [True, False, True]


def test_the_first_frame_is_where_the_stream_begins_whatever_the_container_says() -> None:
    assert stamps(frames(1, first=HOUR), start_us=HOUR)[0].frame_us == 0
    assert stamps(frames(1, first=HOUR), start_us=-5 * HOUR)[0].frame_us == 0
    assert stamps(frames(1, first=HOUR), begin_us=777)[0].frame_us == 777
    # A picture that is shown before the first one, as after a cut.
    early = stamps([(2 * STEP, 0), (STEP, STEP)], start_us=2 * STEP)
    assert [stamp.frame_us for stamp in early] == [0, 0]
    unsaid = stamps([(None, 0), (None, STEP), (None, 2 * STEP)], start_us=2 * STEP)
    assert [stamp.frame_us for stamp in unsaid] == [0, 0, 0]
    assert [stamp.due_us for stamp in unsaid] == [-2 * STEP, -STEP, 0]


def shown(answers: Sequence[tuple[int | None, int | None]]) -> list[int]:
    """Times of frames, from pairs of decoded packet (None: an empty one) and frame's own time."""
    times, found = ShownTimes(), []
    for due, own in answers:
        times.decoded(due)
        if own != -1:
            found.append(times.shown(own))
    return found


def test_frames_of_a_source_without_times_of_showing_come_one_after_the_other() -> None:
    # Two frames are held: the third packet brings out the first frame, and two empty ones the last.
    answers = [(0, -1), (STEP, -1), (2 * STEP, None), (3 * STEP, None), (None, None), (None, None)]
    assert shown(answers) == [0, STEP, 2 * STEP, 3 * STEP]
    assert shown([(0, -1), (STEP, -1), (None, None), (None, None)]) == [0, STEP]


def test_of_single_fields_every_second_packet_has_a_frame() -> None:
    field = STEP // 2
    answers: list[tuple[int | None, int | None]] = [
        (field * number, None if number % 2 else -1) for number in range(8)
    ]
    assert shown([*answers, (None, None)]) == [0, STEP, 2 * STEP, 3 * STEP, 4 * STEP]


def test_times_never_go_back() -> None:
    assert shown([(0, 0), (1, 5 * STEP), (2, STEP), (3, 6 * STEP)]) == [
        *(0, 5 * STEP, 5 * STEP + 1, 6 * STEP)
    ]


def test_what_came_before_the_first_key_frame_delays_no_frame() -> None:
    times = ShownTimes()
    for number in range(30):
        times.decoded(STEP * number)
        times.broken()
    for number in (30, 31):
        times.decoded(STEP * number)
    assert times.shown(None) == 30 * STEP


def test_after_a_gap_frames_have_the_times_of_their_own_packets_again() -> None:
    times = ShownTimes()
    times.decoded(0)
    times.decoded(STEP)
    assert times.shown(None) == 0
    times.broken()
    for number in (50, 51):
        times.decoded(STEP * number)
    assert times.shown(None) == 50 * STEP
