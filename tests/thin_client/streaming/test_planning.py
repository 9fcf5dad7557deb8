"""When packets go on passing as they are, and when they are encoded anew."""

from __future__ import annotations

import pytest

from thin_client.contract import Codec
from thin_client.streaming.control import LinkControl
from thin_client.streaming.link import Link
from thin_client.streaming.planning import Planning
from thin_client.streaming.wishes import Source, Wishes

CAMERA = Source(1920, 1080, 30.0, Codec.H264, bits_per_s=4e6)
FAST, SLOW = 50e6, 2e6


def planning(*, spared: bool, bits_per_s: float = FAST) -> Planning:
    return Planning(CAMERA, Wishes(), Link(0.01, bits_per_s), 0.0, looks_spared=spared)


def passes(
    followed: Planning,
    now: float,
    bits_per_s: float = FAST,
    *,
    flushed: bool = False,
    late: bool = False,
) -> bool:
    followed.follow(now, CAMERA, bits_per_s, flushed=flushed, link_is_late=late)
    return followed.plan.passing


def test_a_link_that_cannot_carry_the_packets_has_them_encoded_from_the_first_on() -> None:
    assert planning(spared=True).plan.passing
    assert not planning(spared=True, bits_per_s=SLOW).plan.passing


@pytest.mark.parametrize("spared", [True, False])
def test_a_busy_server_is_no_reason_to_encode_where_it_spares_looks(spared: bool) -> None:
    assert passes(planning(spared=spared), 10.0, flushed=True) == spared


def test_pings_that_are_late_alone_are_no_reason_while_packets_get_through() -> None:
    followed = planning(spared=True)
    assert passes(followed, 10.0, SLOW, late=True)
    assert not passes(planning(spared=False), 10.0, SLOW, late=True)


def test_a_link_that_became_slow_is_one_and_is_tried_again_after_half_a_minute() -> None:
    followed = planning(spared=True)
    assert not passes(followed, 10.0, SLOW, flushed=True, late=True)
    assert not passes(followed, 39.0, FAST)
    assert passes(followed, 41.0, FAST)


def test_looks_that_take_long_leave_the_packets_behind_them_going() -> None:
    """Twelve packets on their way, as many as come while the network looks at one for 0.4 s."""
    left = {}
    for spared in (True, False):
        control = LinkControl(Link(0.01, FAST), 0.0, looks_spared=spared)
        now, left[spared] = 0.0, 0
        for _ in range(20):  # answers come in bunches, behind a look
            sent = 0
            while sent < 12 and control.has_room(16_000):
                control.sent(now, 16_000)
                now, sent = now + 1 / 30, sent + 1
            left[spared] += sent
            now += 0.05
            for _ in range(sent):
                control.answered(now)
        assert control.bits_per_s == FAST
    assert left[True] == 20 * 12
    assert left[False] < 20 * 12


def test_what_is_late_lately_is_the_link_and_not_an_answer() -> None:
    control = LinkControl(Link(0.01, FAST), 0.0, looks_spared=True)
    control.sent(0.0, 1000)
    control.answered(2.0)
    control.update(2.0)
    assert not control.link_was_late(2.0)
    for number in range(3):
        control.pinged(3.0 + number)
        control.ping_answered(3.5 + number)
        control.update(3.6 + number)
    assert control.link_was_late(6.0)
    assert not control.link_was_late(9.0)
