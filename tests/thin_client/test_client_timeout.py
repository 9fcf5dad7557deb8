"""The server is told how long the client waits, so that it does no work in vain."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator

import grpc
import pytest

from thin_client import (
    AsyncDetector,
    DeadlineExceeded,
    Detector,
    DetectorClosed,
    RetryPolicy,
    async_client,
    client,
    conversation,
)
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


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls linger for so long that a busy machine makes no difference."""
    for module in (client, async_client):
        monkeypatch.setattr(module, "LINGER_S", 60.0)


def give_up(detector) -> None:
    """Have a call given up, and leave nothing of it behind."""
    detector.connect()
    with pytest.raises(DeadlineExceeded, match=r"did not answer within 0\.2 s"):
        detector.detect(b"ok 1")
    # Its frames are held by the error's traceback, and the call by them.
    gc.collect()


@pytest.mark.usefixtures("patient")
def test_where_time_is_short_the_client_gives_up_and_does_not_hang_up(triton, make_detector, slow):
    give_up(make_detector(triton.url, "codes", timeout_s=0.2))
    (context,) = triton.fake.contexts
    # The server ends it: to hang up in that very moment may cost a Triton before 25.06.
    assert not ended(context, looks=50)
    assert context.time_remaining() > 30


def test_what_was_given_up_is_kept_no_longer_than_it_lasts(triton, slow):
    with Detector(triton.url, "codes", timeout_s=0.2) as detector:
        give_up(detector)
        slow.set()
        assert ended(triton.fake.contexts[0])
        detector._lingering.wait(10)
        assert comes_true(lambda: not detector._lingering._calls)


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


@pytest.mark.usefixtures("patient")
def test_closing_waits_for_the_server_to_end_what_was_given_up(triton, make_detector, slow):
    detector = make_detector(triton.url, "codes", timeout_s=0.2)
    give_up(detector)
    by_server: list[bool] = []
    assert triton.fake.contexts[0].add_callback(lambda: by_server.append(slow.is_set()))
    threading.Timer(0.5, slow.set).start()
    detector.close()
    assert ended(triton.fake.contexts[0])
    assert comes_true(lambda: by_server)
    assert by_server == [True]


@pytest.mark.usefixtures("patient")
def test_closing_hangs_up_where_the_server_does_not_end_it(
    triton, make_detector, slow, monkeypatch
):
    detector = make_detector(triton.url, "codes", timeout_s=0.2)
    give_up(detector)
    for module in (client, async_client):
        monkeypatch.setattr(module, "LINGER_S", 0.1)
    (context,) = triton.fake.contexts
    assert context.time_remaining() > 30
    detector.close()
    assert ended(context)


@pytest.mark.usefixtures("patient")
def test_a_detector_that_is_being_closed_sends_nothing_more(triton, slow):
    detector = Detector(triton.url, "codes", timeout_s=0.2)
    give_up(detector)
    closing = threading.Thread(target=detector.close)
    closing.start()
    assert comes_true(detector._closed.is_set)
    with pytest.raises(DetectorClosed):
        detector.detect(b"ok 2")
    assert closing.is_alive()
    assert len(triton.fake.contexts) == 1
    slow.set()
    closing.join()


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


def ended(context: grpc.ServicerContext, looks: int = 200) -> bool:
    """Whether the server sees that its client is gone, within a moment."""
    return comes_true(lambda: not context.is_active(), looks)


def comes_true(condition: Callable[[], object], looks: int = 200) -> bool:
    """Whether something comes true within a moment."""
    for _ in range(looks):
        if condition():
            return True
        threading.Event().wait(0.01)
    return False
