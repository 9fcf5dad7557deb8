"""The server is told how long the client waits, so that it does no work in vain."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import grpc
import pytest

from thin_client import AsyncDetector, DeadlineExceeded, RetryPolicy, conversation
from thin_client.failures import pause_or_raise
from thin_client.retry import Budget
from thin_client.wire import infer_request


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
    assert 10_000_000 < timeout_us <= 20_000_000


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


@pytest.fixture
def slow(triton) -> Iterator[threading.Event]:
    """Nothing is answered before this is set; after which the server says how each call went."""
    answer = threading.Event()
    triton.fake.before_answer = lambda _: answer.wait(10)
    yield answer
    answer.set()


def test_where_time_is_short_the_client_gives_up_and_does_not_hang_up(triton, make_detector, slow):
    detector = make_detector(triton.url, "codes", timeout_s=0.3)
    detector.connect()
    with pytest.raises(DeadlineExceeded, match=r"did not answer within 0\.3 s"):
        detector.detect(b"ok 1")
    (context,) = triton.fake.contexts
    # The server ends it: to hang up in that very moment may cost a Triton before 25.06.
    assert context.is_active()
    assert context.time_remaining() > 0


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (grpc.StatusCode.UNAVAILABLE, "Request timeout expired"),
        (grpc.StatusCode.CANCELLED, "nobody waits for this request any more"),
    ],
)
def test_what_the_server_ends_before_the_client_notices_is_late_too(code, said):
    error = grpc.RpcError()
    error.code, error.details = lambda: code, lambda: said
    now = iter([0.0, 0.25, 0.25])
    budget = Budget(RetryPolicy(), 0.25, clock=lambda: next(now))
    with pytest.raises(DeadlineExceeded, match=r"did not answer within 0\.25 s"):
        pause_or_raise(error, infer_request("codes", [b"ok 1"], {}), "localhost:8001", budget)


def test_where_time_is_long_the_client_hangs_up(triton, make_detector, slow, monkeypatch):
    monkeypatch.setattr(conversation, "_SHORT_S", 0.1)
    detector = make_detector(triton.url, "codes", timeout_s=0.3)
    detector.connect()
    with pytest.raises(DeadlineExceeded, match=r"did not answer within 0\.3 s"):
        detector.detect(b"ok 1")
    (context,) = triton.fake.contexts
    assert ended(context)


def test_a_detector_that_is_closed_hangs_up_on_what_it_gave_up(triton, make_detector, slow):
    detector = make_detector(triton.url, "codes", timeout_s=0.2)
    detector.connect()
    with pytest.raises(DeadlineExceeded):
        detector.detect(b"ok 1")
    detector.close()
    assert ended(triton.fake.contexts[0])


def test_a_task_that_is_cancelled_hangs_up(triton, slow):
    async def give_up() -> None:
        async with AsyncDetector(triton.url, "codes", timeout_s=4) as detector:
            await detector.connect()
            task = asyncio.create_task(detector.detect(b"ok 1"))
            while not triton.fake.contexts:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while not ended(triton.fake.contexts[0]):
                await asyncio.sleep(0.01)

    asyncio.run(give_up())


def ended(context: grpc.ServicerContext) -> bool:
    """Whether the server sees that its client is gone, within a moment."""
    for _ in range(200):
        if not context.is_active():
            return True
        threading.Event().wait(0.01)
    return False
