"""The server is told how long the client waits, so that it does no work in vain."""

from __future__ import annotations

import grpc

from thin_client import RetryPolicy

# Refused in the moment in which its client hangs up, a request may cost a Triton before 25.06.
AFTER_HANGING_UP_US = 50_000


def timeouts_us(triton) -> list[int]:
    return [
        request.parameters["timeout"].int64_param
        for request in triton.fake.requests
        if "timeout" in request.parameters
    ]


def test_a_request_tells_how_long_its_answer_is_waited_for(triton, make_detector):
    make_detector(triton.url, "codes", timeout_s=20).detect(b"ok 1")
    (timeout_us,) = timeouts_us(triton)
    # What connecting took is gone.
    assert 10_000_000 < timeout_us < 20_000_000 + AFTER_HANGING_UP_US


def test_each_try_tells_what_is_left(triton, make_detector):
    triton.fake.refusals += [(grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size")] * 2
    retry = RetryPolicy(first_delay_s=0.2, max_delay_s=0.2)
    make_detector(triton.url, "codes", timeout_s=20, retry=retry).detect(b"ok 1")
    first, second, third = timeouts_us(triton)
    # A pause is shortened by up to half.
    assert first - second >= 100_000
    assert second - third >= 100_000


def test_the_requests_of_a_batch_that_is_split_share_the_time(triton, make_detector):
    images = [b"ok 1"] * 9
    make_detector(triton.url, "codes", timeout_s=20).detect_batch(images)
    told = timeouts_us(triton)
    assert len(told) == 3
    assert told == sorted(told, reverse=True)


def test_without_a_deadline_the_server_decides(triton, make_detector):
    make_detector(triton.url, "codes", timeout_s=None).detect(b"ok 1")
    assert len(triton.fake.requests) == 1
    assert timeouts_us(triton) == []
