"""Work that nobody waits for any more is not done, and holds nobody up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2_grpc

from builder.benchmark.server_work import server_statistics
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from tests.drill.load import SQUARES
from tests.images import encoded
from tests.metrics import scrape, total
from tests.serving import Serving, serving
from tests.slowed import slow_down
from tests.tiny_detector import coloured_square, save_tiny_detector
from thin_client import DeadlineExceeded, Detector, RetryPolicy
from thin_client.contract import FRAME_INDEX, Codec, model_names
from thin_client.streaming.packets import packet_request
from thin_client.wire import infer_request, set_timeout

NAME = "tiny"
NAMES = model_names(NAME)
MAX_BATCH, PROCESSES = 4, 2
# Of the ensemble: those that the network runs, and those that wait for it.
ON_THEIR_WAY = 2 * MAX_BATCH
CALLS = 60
FRAME_S = 0.05
WAIT_S = 30
COUNTS_SENT_S = 1.0
LATE = "nobody waits for this request any more"
JPEG = encoded(coloured_square("red"), ".jpg")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("abandoned")
    repository = folder / "repository"
    model = save_tiny_detector(folder / "tiny.onnx")
    settings = BuildSettings(
        NAME, conf=0.1, max_batch=MAX_BATCH, instances=PROCESSES, decode_threads=1, stream=True
    )
    build_pipeline(model, repository, settings)
    slow_down(repository, NAME, FRAME_S)
    # Canaries would count.
    with serving(repository, "--no-supervise") as server:
        # What is imported with the first image is imported.
        for bls in (False, True):
            answers_others(server, bls=bls)
        yield server


@pytest.fixture
def stub(running: Serving) -> Iterator[Any]:
    options = [("grpc.enable_http_proxy", 0), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(running.url, options) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def network_counts(running: Serving) -> tuple[int, int]:
    """Requests that the network has answered, and frames that came to it."""
    counts = [
        (each.inference_stats.success.count, each.inference_count)
        for (model, _), each in server_statistics(running.url).items()
        if model == NAMES.network
    ]
    return counts[0]


def runs(running: Serving) -> int:
    """Requests that the network has run; what it ended without failed."""
    return network_counts(running)[0]


def frames(running: Serving) -> int:
    """Frames that came to the network; in one process several requests share one call of it."""
    return network_counts(running)[1]


def decoded(running: Serving, model: str) -> float:
    """Images that a model has decoded."""
    time.sleep(COUNTS_SENT_S)
    return total(scrape(running.metrics_port), "framewire_images_total", model=model)


def answers_others(running: Serving, *, bls: bool = False) -> None:
    """It is as before: every one of many calls is answered."""
    with Detector(running.url, NAME, bls=bls) as detector, ThreadPoolExecutor(8) as threads:
        found = list(threads.map(detector.detect, SQUARES * 4))
    assert {answer.error for answer in found} == {None}


def give_up_after_the_first_answer(stub: Any, request: Any) -> None:
    """Send many calls at once, and hang up on all others when one is answered."""
    answered = threading.Event()
    calls = [stub.ModelInfer.future(request, timeout=WAIT_S) for _ in range(CALLS)]
    for call in calls:
        call.add_done_callback(lambda _: answered.set())
    assert answered.wait(WAIT_S)
    for call in calls:
        call.cancel()


@pytest.mark.parametrize("model", [NAMES.ensemble, NAMES.bls])
def test_the_network_does_not_run_what_was_given_up(
    running: Serving, stub: Any, model: str
) -> None:
    before = runs(running)
    request = infer_request(model, [SQUARES[0]], {})
    give_up_after_the_first_answer(stub, request)
    answers_others(running, bls=model == NAMES.bls)
    others = 4 * len(SQUARES)
    # Each process that decodes may ask for its frames now and then.
    questions = CALLS // MAX_BATCH
    assert runs(running) - before - others <= 2 * ON_THEIR_WAY + questions < CALLS - 1


@pytest.fixture(scope="module")
def large_image() -> bytes:
    """A picture that takes some tenths of a second to decode."""
    noise = np.random.default_rng(0).integers(0, 256, (525, 700, 3), np.uint8)
    return encoded(cv2.resize(noise, (5600, 4200), interpolation=cv2.INTER_NEAREST), ".jpg")


@pytest.mark.parametrize(
    ("model", "count", "questions"), [(NAMES.ensemble, runs, 2 * PROCESSES), (NAMES.bls, frames, 0)]
)
def test_what_is_given_up_while_it_is_decoded_does_not_get_to_the_network(
    running: Serving,
    stub: Any,
    model: str,
    count: Callable[[Serving], int],
    questions: int,
    large_image: bytes,
) -> None:
    before = count(running)
    request = infer_request(model, [large_image] * MAX_BATCH, {})
    calls = [stub.ModelInfer.future(request, timeout=WAIT_S) for _ in range(PROCESSES)]
    time.sleep(0.3)
    for call in calls:
        call.cancel()
    answers_others(running, bls=model == NAMES.bls)
    assert 0 <= count(running) - before - 4 * len(SQUARES) <= questions


def test_in_one_process_nothing_is_decoded_either(running: Serving, stub: Any) -> None:
    before = decoded(running, NAMES.bls)
    request = infer_request(NAMES.bls, [SQUARES[0]], {})
    give_up_after_the_first_answer(stub, request)
    answers_others(running, bls=True)
    others = 4 * len(SQUARES)
    # A batch in each process, and one that Triton had handed over.
    assert decoded(running, NAMES.bls) - before - others <= 3 * PROCESSES * MAX_BATCH < CALLS


@pytest.mark.parametrize("bls", [False, True])
def test_what_waits_longer_than_its_client_is_not_decoded(running: Serving, bls: bool) -> None:
    model = NAMES.bls if bls else NAMES.preprocess
    before = decoded(running, model)

    def give_up(image: bytes) -> None:
        with pytest.raises(DeadlineExceeded):
            impatient.detect(image)

    patient = Detector(running.url, NAME, bls=bls)
    impatient = Detector(
        running.url, NAME, bls=bls, timeout_s=2 * FRAME_S, retry=RetryPolicy(attempts=1)
    )
    with patient, impatient, ThreadPoolExecutor(CALLS) as threads:
        impatient.connect()
        # What keeps the server busy, so that the others wait.
        kept_busy = [
            threads.submit(patient.detect_batch, SQUARES[:1] * MAX_BATCH) for _ in range(8)
        ]
        time.sleep(4 * FRAME_S)
        ended = [threads.submit(give_up, SQUARES[0]) for _ in range(CALLS - 10)]
        assert all(future.exception() is None for future in [*ended, *kept_busy])
    busy = 8 * MAX_BATCH
    assert decoded(running, model) - before - busy <= PROCESSES * MAX_BATCH < CALLS - 10


def test_packets_of_a_stream_that_was_given_up_are_decoded_but_not_run(
    running: Serving, stub: Any
) -> None:
    before = runs(running)
    all_sent, over = threading.Event(), threading.Event()

    def packets(stream: str, count: int) -> Iterator[Any]:
        for number in range(count):
            yield packet_request(
                NAMES.stream,
                JPEG,
                {},
                stream=stream,
                codec=Codec.MJPEG,
                timestamp_us=number,
                start=number == 0,
                end=number == count - 1,
            )
        all_sent.set()
        over.wait(WAIT_S)

    given_up = stub.ModelStreamInfer(packets("given up", CALLS))
    next(given_up)
    assert all_sent.wait(WAIT_S)
    given_up.cancel()
    other = stub.ModelStreamInfer(packets("another", 1))
    assert not next(other).error_message
    over.set()
    assert runs(running) - before - 1 <= 2 * ON_THEIR_WAY + CALLS // MAX_BATCH < CALLS - 1


def test_room_of_frames_that_were_given_up_is_given_back(running: Serving, stub: Any) -> None:
    request = infer_request(NAME, [SQUARES[0]], {})
    for _ in range(3):
        give_up_after_the_first_answer(stub, request)
        answers_others(running)


def test_late_packets_of_a_stream_are_decoded_but_not_run(running: Serving, stub: Any) -> None:
    # The answer to the last one says that all others have gone through.
    count = 12

    def packets() -> Iterator[Any]:
        for number in range(count + 1):
            request = packet_request(
                NAMES.stream,
                JPEG,
                {},
                stream="late",
                codec=Codec.MJPEG,
                timestamp_us=number,
                start=number == 0,
                end=number == count,
            )
            # Decoding takes longer.
            set_timeout(request, 1e-6 if number < count else None)
            yield request

    before = runs(running)
    answers = list(stub.ModelStreamInfer(packets()))
    assert [bool(answer.error_message) for answer in answers] == [True] * count + [False]
    assert all(answer.error_message.endswith(LATE) for answer in answers[:count])
    # The frames before it were counted.
    last = answers[-1].infer_response
    place = [output.name for output in last.outputs].index(FRAME_INDEX.name)
    assert np.frombuffer(last.raw_output_contents[place], np.int64) == [count]
    # Nor did the network have to end them.
    assert runs(running) - before == 1
