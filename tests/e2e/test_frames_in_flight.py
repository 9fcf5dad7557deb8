"""Frames are made no faster than the network takes them, and what waits does so encoded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from tritonclient.grpc import service_pb2_grpc

from builder.benchmark.server_work import server_statistics
from tests.drill.load import SQUARES
from tests.drill.repositories import NAME, waiting_repository
from tests.serving import Serving, serving
from thin_client import Detector
from thin_client.contract import model_names
from thin_client.wire import infer_request

DELAY_MS, MAX_BATCH = 100, 2
# Of the one process that decodes.
IN_FLIGHT = 2 * MAX_BATCH
AT_ONCE = 40
NAMES = model_names(NAME)


@pytest.fixture(scope="module")
def slow_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("slow")
    with serving(waiting_repository(folder, delay_ms=DELAY_MS, max_batch=MAX_BATCH)) as running:
        yield running


def frames_between(url: str) -> int:
    """Frames that left the preprocess step and that the network has not run."""
    statistics = server_statistics(url)
    done = {model: each.inference_stats.success.count for (model, _), each in statistics.items()}
    return done[NAMES.preprocess] - done[NAMES.network]


def test_few_frames_wait_for_the_network_however_many_images_come(slow_network: Serving) -> None:
    seen: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            seen.append(frames_between(slow_network.url))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with Detector(slow_network.url, NAME) as detector, ThreadPoolExecutor(AT_ONCE) as threads:
            answers = list(threads.map(detector.detect, [SQUARES[0]] * AT_ONCE))
    finally:
        over.set()
        watcher.join()
    assert {answer.error for answer in answers} == {None}
    assert max(seen) >= MAX_BATCH
    # What Triton counts for the two steps at one moment may be a batch apart.
    assert max(seen) <= 2 * IN_FLIGHT


def test_requests_that_were_cancelled_leave_their_room_to_others(slow_network: Serving) -> None:
    with grpc.insecure_channel(slow_network.url, [("grpc.enable_http_proxy", 0)]) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for _ in range(3):
            request = infer_request(NAME, [SQUARES[0]], {})
            calls = [stub.ModelInfer.future(request, timeout=60) for _ in range(2 * IN_FLIGHT)]
            calls[0].result()
            for call in calls:
                call.cancel()
    with Detector(slow_network.url, NAME) as detector, ThreadPoolExecutor(AT_ONCE) as threads:
        answers = list(threads.map(detector.detect, [SQUARES[0]] * AT_ONCE))
    assert {answer.error for answer in answers} == {None}
