"""Clients that hang up before they can be answered, many at once."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection

import grpc
from tritonclient.grpc import service_pb2_grpc

from tests import images
from tests.drill.load import AT_ONCE, SQUARES
from tests.drill.own_process import READY, START_S, OwnProcess
from tests.tiny_detector import coloured_square
from thin_client import DeadlineExceeded, Detector, ServerOverloaded
from thin_client.contract import Codec, model_names
from thin_client.streaming.packets import packet_request

ANSWERED, GIVEN_UP, REFUSED = "answered", "given up", "refused"
VARIANTS = ("ensemble", "bls", "stream")
JPEG = images.encoded(coloured_square("red"), ".jpg")


@dataclass(frozen=True)
class Wave:
    """Calls that nobody waits for.

    Attributes:
        variant: of the pipeline that is called; a stream is one packet long.
        deadline_s: after which a client hangs up; it tries the next call at once.
        clients: that call at a time.
        calls: in all; None where time counts.
        seconds: how long; None where calls count.
    """

    variant: str
    deadline_s: float
    clients: int = 64
    calls: int | None = None
    seconds: float | None = None


def impatient(url: str, pipeline: str, wave: Wave) -> OwnProcess[Counter[str]]:
    """Return a process of its own with the clients of a wave; it counts what became of the calls.

    Args:
        url: of the server.
        pipeline: that is called.
        wave: of calls.
    """
    patience_s = 2 * START_S + (wave.seconds or 0)
    return OwnProcess(_run, url, pipeline, wave, patience_s=patience_s)


def _run(pipe: Connection, url: str, pipeline: str, wave: Wave) -> None:
    found: Counter[str] = Counter()
    lock = threading.Lock()
    numbers = iter(range(wave.calls)) if wave.calls is not None else itertools.count()
    with _calling(url, pipeline, wave) as call:
        pipe.send(READY)
        until = time.monotonic() + (wave.seconds or float("inf"))

        def send() -> None:
            while time.monotonic() < until:
                with lock:
                    if next(numbers, None) is None:
                        return
                became = call()
                with lock:
                    found[became] += 1

        threads = [threading.Thread(target=send) for _ in range(wave.clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    pipe.send(found)


@contextlib.contextmanager
def _calling(url: str, pipeline: str, wave: Wave) -> Iterator[Callable[[], str]]:
    """Yield what makes one call and says what became of it."""
    if wave.variant == "stream":
        with grpc.insecure_channel(url, [("grpc.enable_http_proxy", 0)]) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            model, names = model_names(pipeline).stream, itertools.count()
            yield lambda: _packet(stub, model, f"impatient {next(names)}", wave.deadline_s)
        return
    with Detector(
        url, pipeline, bls=wave.variant == "bls", timeout_s=wave.deadline_s, retry=AT_ONCE
    ) as detector:
        # With a deadline this short it may not even be told about the pipeline.
        with contextlib.suppress(DeadlineExceeded):
            detector.connect()
        yield lambda: _picture(detector)


def _picture(detector: Detector) -> str:
    try:
        detector.detect(SQUARES[0])
    except DeadlineExceeded:
        return GIVEN_UP
    except ServerOverloaded:
        return REFUSED
    except Exception as error:  # noqa: BLE001 - kept in words
        return f"{type(error).__name__}: {error}"
    return ANSWERED


def _packet(
    stub: service_pb2_grpc.GRPCInferenceServiceStub, model: str, stream: str, deadline_s: float
) -> str:
    request = packet_request(
        model, JPEG, {}, stream=stream, codec=Codec.MJPEG, timestamp_us=0, start=True, end=True
    )
    try:
        stub.ModelInfer(request, timeout=deadline_s)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return GIVEN_UP
        if error.code() is grpc.StatusCode.UNAVAILABLE and "streams open" in error.details():
            return REFUSED
        return f"{error.code().name}: {error.details()}"
    return ANSWERED
