"""What the steps that decode do with what nobody waits for any more."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from contract import FRAME_INDEX, IMAGE, PACKET, TICKET, resolve_shape
from numpy.typing import NDArray

from decode import DecodeLimits
from frame_loader import FrameLoader
from frames import FrameFormat
from tests.conftest import SERVED_MODELS
from tests.images import encoded
from tests.tiny_detector import coloured_square

TRITON = "triton_python_backend_utils"
OF_TRITON = (
    "frame_tickets",
    "image_batch",
    "image_counts",
    "metrics",
    "network_calls",
    "packet_counts",
    "packets",
    "triton_requests",
)
JPEG = encoded(coloured_square("red"), ".jpg")
# Nothing is decoded in a microsecond.
LATE_US, PATIENT_US = 1, 0
START = 1
WANTED = FrameFormat(32, 32, DecodeLimits(max_bytes=10**6, max_pixels=10**6))


class Request:
    """A request for some images."""

    def __init__(self, images: int, timeout_us: int) -> None:
        self.images = np.array([[JPEG]] * images, np.object_)
        self._timeout_us = timeout_us

    def timeout(self) -> int:
        return self._timeout_us

    def parameters(self) -> str:
        return "{}"


class Packet(Request):
    """A packet of a stream of JPEGs."""

    def __init__(self, stream: int, timeout_us: int, *, start: bool) -> None:
        super().__init__(1, timeout_us)
        self._stream = stream
        self._start = start

    def flags(self) -> int:
        return START if self._start else 0

    def correlation_id(self) -> int:
        return self._stream

    def parameters(self) -> str:
        return '{"codec": "mjpeg"}'


class Tickets:
    """Gives tickets, and remembers for how many frames it was asked."""

    held_s = 0.0

    def __init__(self) -> None:
        self.taken: list[int] = []

    def take(self, frames: int) -> NDArray[np.int64]:
        self.taken.append(frames)
        return np.zeros((frames, *resolve_shape(TICKET)), np.int64)


def triton() -> ModuleType:
    """As much of Triton's side as answers take."""
    module: Any = ModuleType(TRITON)
    module.get_input_tensor_by_name = lambda request, name: SimpleNamespace(
        as_numpy={each.name: lambda: request.images for each in (IMAGE, PACKET)}[name]
    )
    module.Tensor = lambda name, array: (name, array)
    module.InferenceResponse = SimpleNamespace
    module.TritonError = lambda sentence, code: SimpleNamespace(sentence=sentence, code=code)
    module.TritonError.CANCELLED = "cancelled"
    module.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START = START
    module.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END = 2 * START
    return module  # type: ignore[no-any-return]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Makes the model of a folder, without what Triton gives it."""
    monkeypatch.setitem(sys.modules, TRITON, triton())
    for name in OF_TRITON:
        monkeypatch.delitem(sys.modules, name, raising=False)
    models = []

    def made(folder: str) -> Any:
        spec = importlib.util.spec_from_file_location("late", SERVED_MODELS / folder / "model.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        model = module.TritonPythonModel()
        model._tickets = Tickets()
        model._metrics = SimpleNamespace(add=lambda _: None, close=lambda: None)
        models.append(model)
        return model

    yield made
    for model in models:
        model.finalize()
    for name in OF_TRITON:
        sys.modules.pop(name, None)


@pytest.fixture
def model(load: Callable[[str], Any]) -> Any:
    model = load("preprocess")
    model._loader = FrameLoader(WANTED, cores=1, instances=1)
    return model


@pytest.fixture
def stream(load: Callable[[str], Any]) -> Any:
    model = load("stream")
    from open_streams import OpenStreams, StreamLimits  # noqa: PLC0415 - with Triton's side

    model._wanted = WANTED
    limits = StreamLimits(streams=9, memory_bytes=0, idle_s=60)
    model._streams = OpenStreams(limits, WANTED, lambda _: None)
    model._threads = ThreadPoolExecutor(1)
    model._holder = ThreadPoolExecutor(1)
    model._taking = threading.Lock()
    model._track = "off"
    return model


def test_only_frames_that_somebody_waits_for_take_room_in_the_network(model: Any) -> None:
    requests = [Request(1, LATE_US), Request(2, PATIENT_US), Request(3, LATE_US)]
    late, patient, other = model.execute(requests)
    assert model._tickets.taken == [2]
    assert late.error.code == other.error.code == "cancelled"
    assert {name: len(array) for name, array in patient.output_tensors}[TICKET.name] == 2


def test_what_gets_late_while_it_waits_for_room_goes_no_further(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient, patient = Request(1, PATIENT_US), Request(1, PATIENT_US)
    take = model._tickets.take

    def wait(frames: int) -> NDArray[np.int64]:
        impatient._timeout_us = LATE_US
        tickets: NDArray[np.int64] = take(frames)
        return tickets

    monkeypatch.setattr(model._tickets, "take", wait)
    first, second = model.execute([impatient, patient])
    assert model._tickets.taken == [2]
    assert first.error.code == "cancelled"
    assert len(second.output_tensors) > 1


def test_late_packets_are_decoded_and_take_no_room_in_the_network(stream: Any) -> None:
    for start in (True, False):
        late, patient = stream.execute(
            [Packet(1, LATE_US, start=start), Packet(2, PATIENT_US, start=start)]
        )
        assert late.error.code == "cancelled"
        assert dict(patient.output_tensors)[FRAME_INDEX.name] == [[0 if start else 1]]
    (third,) = stream.execute([Packet(1, PATIENT_US, start=False)])
    assert dict(third.output_tensors)[FRAME_INDEX.name] == [[2]]
    assert stream._tickets.taken == [1, 1, 1]


def test_a_packet_that_gets_late_while_it_waits_for_room_goes_no_further(
    stream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    packets = [Packet(number, PATIENT_US, start=True) for number in (1, 2)]
    take = stream._tickets.take

    def wait(frames: int) -> NDArray[np.int64]:
        packets[0]._timeout_us = LATE_US
        tickets: NDArray[np.int64] = take(frames)
        return tickets

    monkeypatch.setattr(stream._tickets, "take", wait)
    first, second = stream.execute(packets)
    assert first.error.code == "cancelled"
    assert len(second.output_tensors) > 1
