"""Several requests in flight, results in order."""

from __future__ import annotations

import asyncio
import threading
import time

import grpc
import pytest

from thin_client import AsyncDetector, ServerFailed
from thin_client.contract import ImageStatus
from thin_client.pipelining import map_in_order


def images(count: int) -> list[bytes]:
    return [b"ok %d" % number for number in range(count)]


def test_results_come_in_order_when_answers_come_out_of_order(triton, make_detector):
    others_answered = threading.Event()
    answered = []

    def first_last(batch):
        if batch == [b"ok 0"]:
            assert others_answered.wait(timeout=60)
        answered.append(batch[0])
        if len(answered) == 3:
            others_answered.set()

    triton.fake.before_answer = first_last
    results = make_detector(triton.url).detect_stream(images(4), in_flight=4)
    assert [result.width for result in results] == [100, 101, 102, 103]
    assert answered[-1] == b"ok 0"


def test_in_flight_is_reached_and_never_exceeded(triton, make_detector):
    lock, all_here = threading.Lock(), threading.Barrier(3)
    inside, most = 0, 0

    def count(batch):
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        # Three at a time, or this waits forever.
        all_here.wait(timeout=60)
        with lock:
            inside -= 1

    triton.fake.before_answer = count
    results = list(make_detector(triton.url).detect_stream(images(12), in_flight=3))
    assert len(results) == 12
    assert most == 3


def test_source_is_never_read_further_ahead_than_the_bound(triton, make_detector):
    taken = 0

    def source():
        nonlocal taken
        for image in images(50):
            taken += 1
            yield image

    delivered = 0
    for _ in make_detector(triton.url).detect_stream(source(), in_flight=3):
        assert taken <= delivered + 3
        delivered += 1
    assert delivered == 50


def test_bad_image_in_a_stream_has_a_status(triton, make_detector):
    stream = make_detector(triton.url).detect_stream([b"ok 1", b"bad", b"ok 3"])
    assert [result.status for result in stream] == [
        ImageStatus.OK,
        ImageStatus.CORRUPT,
        ImageStatus.OK,
    ]


def test_parameters_go_with_every_image_of_a_stream(triton, make_detector):
    list(make_detector(triton.url).detect_stream(images(3), conf=0.5))
    sent = [request.parameters["conf"].string_param for request in triton.fake.requests]
    assert sent == ["0.5"] * 3


def test_failure_of_the_server_ends_the_stream(triton, make_detector):
    triton.fake.refusals.append((grpc.StatusCode.INTERNAL, "boom"))
    with pytest.raises(ServerFailed):
        list(make_detector(triton.url).detect_stream(images(3), in_flight=1))


def test_failure_of_the_source_ends_the_stream_with_its_own_exception(triton, make_detector):
    def broken():
        yield b"ok 1"
        raise OSError("the camera fell off")

    with pytest.raises(OSError, match="the camera fell off"):
        list(make_detector(triton.url).detect_stream(broken(), in_flight=2))


def test_breaking_off_stops_taking_images(triton, make_detector):
    taken = []
    source = (taken.append(image) or image for image in images(100))
    stream = make_detector(triton.url).detect_stream(source, in_flight=2)
    next(stream)
    stream.close()
    assert len(taken) <= 3


@pytest.mark.parametrize("in_flight", [0, -1])
def test_no_requests_in_flight_is_refused(triton, make_detector, in_flight):
    with pytest.raises(ValueError, match="in_flight"):
        list(make_detector(triton.url).detect_stream(images(1), in_flight=in_flight))


def test_async_source_is_taken_too(triton):
    async def source():
        for image in images(5):
            await asyncio.sleep(0)
            yield image

    async def widths():
        async with AsyncDetector(triton.url) as detector:
            return [result.width async for result in detector.detect_stream(source())]

    assert asyncio.run(widths()) == [100, 101, 102, 103, 104]


def test_finished_results_do_not_wait_for_the_bound_to_be_reached():
    delivered = []

    def live_source():
        for item in range(10_000):
            if delivered:
                return
            yield item
            time.sleep(0.001)

    for item, future in map_in_order(lambda item: item, live_source(), in_flight=10_000):
        assert future.result() == item
        delivered.append(item)
    assert len(delivered) < 10_000
