from __future__ import annotations

from itertools import pairwise

import pytest

from tests.thin_client.streaming.simulation import simulate
from thin_client.streaming.control import LinkControl
from thin_client.streaming.link import Link

MBIT = 1e6


@pytest.mark.parametrize("mbit", [2, 4, 20, 100])
def test_on_a_steady_link_the_rate_is_held_and_no_queue_grows(mbit: int) -> None:
    run = simulate(lambda _: mbit * MBIT, measured=mbit * MBIT, seconds=30)
    assert run.dropped <= 2  # of 900, in trying whether the link has become faster
    latencies = sorted(run.latencies_between(1, 30))
    assert latencies[int(0.95 * len(latencies))] < 0.12
    assert latencies[-1] < 0.25
    late_targets = [bits for at, bits in run.targets if at > 5]
    assert min(late_targets) > 0.6 * mbit * MBIT


def test_frames_leave_evenly() -> None:
    run = simulate(lambda _: 4 * MBIT, measured=4 * MBIT, seconds=10)
    gaps = [later - earlier for earlier, later in pairwise(run.sent)]
    assert max(gaps) < 0.04
    assert min(gaps) > 0.03


@pytest.mark.parametrize(("before", "after"), [(4, 2), (20, 2), (100, 4), (4, 1)])
def test_when_the_link_gets_slower_the_rate_follows_within_a_second(
    before: int, after: int
) -> None:
    run = simulate(
        lambda now: (before if now < 5 else after) * MBIT, measured=before * MBIT, seconds=20
    )
    # Where frames are large against the link, what is on the way has to drain first.
    assert run.target_at(6.0) <= 1.3 * after * MBIT if before <= 4 * after else True
    assert run.target_at(7.5) <= 1.1 * after * MBIT
    assert max(run.latencies_between(10, 20)) < 0.3


def test_when_the_link_gets_faster_the_rate_goes_up_slowly() -> None:
    run = simulate(lambda now: (2 if now < 5 else 8) * MBIT, measured=2 * MBIT, seconds=40)
    assert run.target_at(8) <= 1.3 * 2 * MBIT
    assert run.target_at(39) >= 4 * MBIT
    rising = [bits for at, bits in run.targets if at > 5]
    steps = [later / earlier for earlier, later in pairwise(rising)]
    assert max(steps) < 1.1


def test_one_late_answer_changes_nothing() -> None:
    pause = lambda now: 0.15 if 5.0 <= now < 5.03 else 0.005  # noqa: E731
    run = simulate(lambda _: 20 * MBIT, measured=20 * MBIT, seconds=8, server_s=pause)
    assert run.target_at(7.5) >= 0.6 * 20 * MBIT


def test_a_slow_server_gets_fewer_frames_at_a_time_and_no_queue() -> None:
    run = simulate(lambda _: 100 * MBIT, measured=100 * MBIT, seconds=20, server_s=lambda _: 0.1)
    answered = run.latencies_between(10, 20)
    assert len(answered) >= 80
    assert sorted(answered)[len(answered) // 2] < 0.4
    assert run.dropped > 0


def test_packets_that_are_too_large_for_the_link_are_held_back() -> None:
    run = simulate(
        lambda _: 2 * MBIT, measured=4 * MBIT, seconds=20, frame_bits=lambda _: 6 * MBIT / 30
    )
    assert run.dropped > 0
    assert max(run.latencies_between(5, 20)) < 0.6


def test_a_key_frame_is_no_congestion() -> None:
    def frame_bits(now: float) -> float:
        return 240_000 if now % 2 < 0.03 else 60_000

    run = simulate(lambda _: 4 * MBIT, measured=4 * MBIT, seconds=20, frame_bits=frame_bits)
    assert run.target_at(19) >= 3.2 * MBIT
    assert run.dropped <= 2 * 10


def test_a_longer_route_is_no_slower_link() -> None:
    longer = lambda now: 0.02 if now < 5 else 0.25  # noqa: E731
    run = simulate(lambda _: 20 * MBIT, measured=20 * MBIT, seconds=20, rtt_s=longer)
    # It cannot know at first; but what it does is not for good.
    lowest = min(bits for _, bits in run.targets)
    assert lowest > 0.5 * MBIT
    assert run.target_at(19) > 1.7 * lowest


@pytest.mark.parametrize("woken_late", [True, False])
def test_a_ping_that_a_busy_machine_delays_says_nothing_of_the_link(woken_late: bool) -> None:
    control = LinkControl(Link(0.01, 20 * MBIT), 0.0)
    for step in range(100):
        now = step * 0.3
        if woken_late:
            control.overslept(now, 0.08)
        control.pinged(now)
        control.ping_answered(now + 0.15)
        control.update(now + 0.2)
    assert (control.bits_per_s == 20 * MBIT) == woken_late


def test_a_frame_may_leave_whatever_its_size_when_nothing_is_on_the_way() -> None:
    control = LinkControl(Link(0.01, 1000.0), 0.0)
    assert control.has_room(10_000_000)
    control.sent(0.0, 10_000_000)
    assert not control.has_room(1)


def test_what_was_lost_makes_room() -> None:
    control = LinkControl(Link(0.01, MBIT), 0.0, most_in_flight=1)
    control.sent(0.0, 100)
    assert not control.has_room(100)
    control.lost()
    assert control.has_room(100)
