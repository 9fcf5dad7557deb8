"""When a request is sent again, on a clock of the test's own."""

from __future__ import annotations

import pytest

from thin_client.retry import MOST_LOST_PROCESSES, Budget, RetryPolicy


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def budget(policy: RetryPolicy, timeout_s: float | None, clock: Clock, jitter: float = 0) -> Budget:
    return Budget(policy, timeout_s, clock=clock, jitter=lambda: jitter)


def test_pauses_double_up_to_the_longest_and_end_with_the_last_try():
    policy = RetryPolicy(attempts=6, first_delay_s=0.1, max_delay_s=0.5)
    tries = budget(policy, None, Clock())
    pauses = [tries.pause_s() for _ in range(6)]
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.5, None])


def test_the_usual_tries_outlast_a_server_that_stops():
    policy = RetryPolicy()
    shortest = sum(policy.delay_s(failures, jitter=1) for failures in range(1, policy.attempts))
    # Measured: a container refuses for 5 s, from SIGTERM to its end.
    assert 5 < shortest < 10


def test_jitter_shortens_a_pause_by_up_to_half():
    policy = RetryPolicy(first_delay_s=1.0)
    assert policy.delay_s(1, jitter=0) == 1.0
    assert policy.delay_s(1, jitter=1) == 0.5


def test_success_gives_the_next_request_all_its_tries():
    tries = budget(RetryPolicy(attempts=2), None, Clock())
    assert tries.pause_s() is not None
    tries.succeeded()
    assert tries.pause_s() is not None
    assert tries.pause_s() is None


def test_deadline_is_one_for_all_tries():
    clock = Clock()
    tries = budget(RetryPolicy(), 3.0, clock)
    clock.now_s += 1
    assert tries.remaining_s() == pytest.approx(2.0)
    tries.succeeded()
    clock.now_s += 5
    assert tries.remaining_s() == 0


def test_pause_that_would_outlast_the_deadline_is_not_begun():
    clock = Clock()
    tries = budget(RetryPolicy(first_delay_s=1.0), 1.0, clock)
    assert tries.pause_s() is None


def test_no_deadline_leaves_any_time():
    assert budget(RetryPolicy(), None, Clock()).remaining_s() is None


def test_very_many_failures_do_not_overflow():
    assert RetryPolicy(attempts=10**6).delay_s(10**6, jitter=0) == 2.0


@pytest.mark.parametrize(
    "wrong", [{"attempts": 0}, {"first_delay_s": -1}, {"first_delay_s": 3, "max_delay_s": 2}]
)
def test_impossible_policy_is_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        RetryPolicy(**wrong)


def test_success_gives_the_next_request_all_its_lost_processes():
    tries = budget(RetryPolicy(), None, Clock())
    for _ in range(2):
        for _ in range(MOST_LOST_PROCESSES):
            assert tries.pause_s(lost_process=True) is not None
        tries.succeeded()
    for _ in range(MOST_LOST_PROCESSES):
        tries.pause_s(lost_process=True)
    assert tries.pause_s(lost_process=True) is None
