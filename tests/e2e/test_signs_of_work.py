"""What a supervisor sees of a real Triton: who has work, and which failures are nobody's wish."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import grpc
import pytest
from tritonclient.grpc import service_pb2_grpc

from builder.pipelines.repository import build_pipeline
from builder.serving.local_triton import LocalTriton
from builder.serving.server_options import ServerOptions
from builder.serving.supervision.process_watch import ProcessWatch
from builder.serving.triton_metrics import TritonMetrics
from builder.settings import BuildSettings
from tests.drill.load import SQUARES
from tests.serving import Serving, serving
from tests.slowed import slow_down
from tests.tiny_detector import save_tiny_detector
from thin_client import Detector
from thin_client.contract import model_names
from thin_client.wire import infer_request

NAME = "tiny"
NAMES = model_names(NAME)
FRAME_S = 0.5
CALLS = 20
PATIENCE_S = 30


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("signs")
    model = save_tiny_detector(folder / "tiny.onnx")
    build_pipeline(model, folder / "repository", BuildSettings(NAME, conf=0.1, max_batch=2))
    slow_down(folder / "repository", NAME, FRAME_S)
    with serving(folder / "repository", "--no-supervise") as server:
        with Detector(server.url, NAME) as detector:
            detector.detect(SQUARES[0])
        yield server


@pytest.fixture(scope="module")
def options(running: Serving) -> ServerOptions:
    return ServerOptions(
        running.repository, http_port=running.http_port, metrics_port=running.metrics_port
    )


def hang_up_on_many(running: Serving) -> None:
    """Send calls that wait at the network, and hang up."""
    request = infer_request(NAMES.ensemble, [SQUARES[0]], {})
    with grpc.insecure_channel(running.url, [("grpc.enable_http_proxy", 0)]) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        calls = [stub.ModelInfer.future(request, timeout=PATIENCE_S) for _ in range(CALLS)]
        time.sleep(2 * FRAME_S)
        for call in calls:
            call.cancel()


def test_what_was_cancelled_is_told_from_what_failed(
    running: Serving, options: ServerOptions
) -> None:
    triton, metrics = LocalTriton(options), TritonMetrics(options)
    hang_up_on_many(running)
    deadline = time.monotonic() + PATIENCE_S
    while (work := triton.work() or {}) and not work[NAMES.network].failed:
        assert time.monotonic() < deadline, work
        time.sleep(0.1)
    told = metrics.failures()
    assert told is not None
    # The ensemble's own count tells them as failures of its steps.
    assert (told[NAMES.network], told[NAMES.postprocess]) == (0, 0)
    # What the first step has not come to yet waits until it has.
    deadline = time.monotonic() + PATIENCE_S
    while metrics.pending() != dict.fromkeys(work, 0):
        assert time.monotonic() < deadline, metrics.pending()
        time.sleep(0.1)


def test_a_step_is_idle_until_it_has_something_to_do(
    running: Serving, options: ServerOptions
) -> None:
    watch = ProcessWatch(running.triton_pid(), LocalTriton(options))
    watch.look(time.monotonic(), {})
    assert watch.idle(NAMES.ensemble) is None
    with Detector(running.url, NAME) as detector:
        detector.detect(SQUARES[0])
        until_idle(watch)
        calling = threading.Thread(target=detector.detect, args=(SQUARES[0],))
        calling.start()
        deadline = time.monotonic() + PATIENCE_S
        while watch.idle(NAMES.network):
            assert time.monotonic() < deadline
            assert watch.idle(NAMES.postprocess)
        calling.join()
    until_idle(watch)


def until_idle(watch: ProcessWatch) -> None:
    """Wait until neither of the later steps has anything to do."""
    deadline = time.monotonic() + PATIENCE_S
    while not (watch.idle(NAMES.network) and watch.idle(NAMES.postprocess)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
