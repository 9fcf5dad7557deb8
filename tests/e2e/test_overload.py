"""More than a server can do: what it accepts it answers, and the rest is refused at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from tests.serving import Serving, serving
from tests.tiny_detector import save_tiny_detector
from thin_client import Detector
from thin_client.errors import BadImage, ServerOverloaded
from thin_client.parameters import WireParameters
from thin_client.retry import RetryPolicy
from thin_client.wire import infer_request

pytestmark = pytest.mark.alone

AT_ONCE = 32
MAX_QUEUE = 4
QUEUE_TIMEOUT_MS = 100
# At work at a time: one image in the one process of each variant.
ONE_BY_ONE = {"instances": 1, "decode_threads": 1, "max_batch": 1}
VARIANTS = ("tiny", "tiny_bls")


@pytest.fixture(scope="module")
def slow_image() -> bytes:
    """A picture that takes tens of milliseconds to decode."""
    noise = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), np.uint8)
    return cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_QUALITY, 60])[1].tobytes()


def served(folder: Path, **bounds: int) -> Iterator[Serving]:
    model = save_tiny_detector(folder / "tiny.onnx")
    build_pipeline(model, folder / "r", BuildSettings("tiny", **ONE_BY_ONE, **bounds))  # type: ignore[arg-type]
    with serving(folder / "r") as running:
        yield running


@pytest.fixture(scope="module")
def short_queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    yield from served(tmp_path_factory.mktemp("short"), max_queue=MAX_QUEUE)


@pytest.fixture(scope="module")
def short_wait(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    yield from served(tmp_path_factory.mktemp("wait"), queue_timeout_ms=QUEUE_TIMEOUT_MS)


@pytest.fixture(scope="module")
def long_wait(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    yield from served(tmp_path_factory.mktemp("long"))


def outcomes(
    running: Serving, model: str, image: bytes, parameters: WireParameters | None = None
) -> Counter[tuple[grpc.StatusCode, str]]:
    """Send requests all at once; how each ended, and what was said."""
    with grpc.insecure_channel(
        running.url, [("grpc.max_send_message_length", -1), ("grpc.enable_http_proxy", 0)]
    ) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        request = infer_request(model, [image], parameters or {})
        calls = [stub.ModelInfer.future(request, timeout=120) for _ in range(AT_ONCE)]
        return Counter((call.code(), call.details() or "") for call in calls)


def refused(ended: Counter[tuple[grpc.StatusCode, str]], words: str) -> int:
    """How many were refused with these words; there may be no other end but an answer."""
    others = {end for end in ended if end[0] is not grpc.StatusCode.OK and words not in end[1]}
    assert not others
    assert {code for code, _ in ended} <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    return sum(count for (code, _), count in ended.items() if code is not grpc.StatusCode.OK)


@pytest.mark.parametrize("model", VARIANTS)
def test_beyond_the_queue_requests_are_refused(
    short_queue: Serving, slow_image: bytes, model: str
) -> None:
    count = refused(outcomes(short_queue, model, slow_image), "maximum queue size")
    assert 0 < count < AT_ONCE
    # The server is as it was.
    assert outcomes_of_one(short_queue, model, slow_image) is grpc.StatusCode.OK


@pytest.mark.parametrize("model", VARIANTS)
def test_what_waits_too_long_is_refused(short_wait: Serving, slow_image: bytes, model: str) -> None:
    count = refused(outcomes(short_wait, model, slow_image), "timeout expired")
    assert 0 < count < AT_ONCE
    assert outcomes_of_one(short_wait, model, slow_image) is grpc.StatusCode.OK


@pytest.mark.parametrize("model", VARIANTS)
def test_a_request_may_ask_for_less_patience_and_for_no_more(
    short_wait: Serving, long_wait: Serving, slow_image: bytes, model: str
) -> None:
    impatient: WireParameters = {"timeout": QUEUE_TIMEOUT_MS * 1000}
    assert refused(outcomes(long_wait, model, slow_image), "") == 0
    assert refused(outcomes(long_wait, model, slow_image, impatient), "timeout expired") > 0
    patient: WireParameters = {"timeout": 60_000_000}
    assert refused(outcomes(short_wait, model, slow_image, patient), "timeout expired") > 0


def outcomes_of_one(running: Serving, model: str, image: bytes) -> grpc.StatusCode:
    with grpc.insecure_channel(
        running.url, [("grpc.max_send_message_length", -1), ("grpc.enable_http_proxy", 0)]
    ) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        response, call = stub.ModelInfer.with_call(infer_request(model, [image], {}), timeout=60)
        assert isinstance(response, service_pb2.ModelInferResponse)
        return call.code()


@pytest.mark.parametrize("bls", [False, True])
def test_the_client_tries_again_and_loses_none(
    short_queue: Serving, slow_image: bytes, bls: bool
) -> None:
    with (
        Detector(
            short_queue.url, "tiny", bls=bls, timeout_s=120, retry=RetryPolicy(attempts=400)
        ) as detector,
        ThreadPoolExecutor(AT_ONCE) as threads,
    ):
        answers = list(threads.map(detector.detect, [slow_image] * AT_ONCE))
    assert len(answers) == AT_ONCE
    assert {answer.error for answer in answers} == {None}


def test_without_another_try_the_client_says_that_the_server_is_overloaded(
    short_queue: Serving, slow_image: bytes
) -> None:
    def ended(image: bytes) -> type[Exception] | None:
        try:
            detector.detect(image)
        except (ServerOverloaded, BadImage) as error:
            return type(error)
        return None

    # Half of them are no pictures: those are refused for good, or for now, but never tried again.
    images = [slow_image, b"no picture"] * (AT_ONCE // 2)
    with (
        Detector(short_queue.url, "tiny", retry=RetryPolicy(attempts=1)) as detector,
        ThreadPoolExecutor(AT_ONCE) as threads,
    ):
        ends = Counter(threads.map(ended, images))
    assert ends[ServerOverloaded] > 0
    assert ends[None] > 0
    assert set(ends) <= {None, ServerOverloaded, BadImage}
