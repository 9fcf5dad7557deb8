"""What the preprocess step does with images that nobody waits for any more."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from contract import IMAGE, TICKET, resolve_shape
from numpy.typing import NDArray

from decode import DecodeLimits
from frame_loader import FrameLoader
from frames import FrameFormat
from tests.conftest import SERVED_MODELS
from tests.images import encoded
from tests.tiny_detector import coloured_square

TRITON = "triton_python_backend_utils"
OF_TRITON = ("frame_tickets", "network_calls", "image_batch", "metrics", "triton_requests")
JPEG = encoded(coloured_square("red"), ".jpg")
# Nothing is decoded in a microsecond.
LATE_US, PATIENT_US = 1, 0


class Request:
    """A request for some images."""

    def __init__(self, images: int, timeout_us: int) -> None:
        self.images = np.array([[JPEG]] * images, np.object_)
        self._timeout_us = timeout_us

    def timeout(self) -> int:
        return self._timeout_us

    def parameters(self) -> str:
        return "{}"


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
        as_numpy={IMAGE.name: lambda: request.images}[name]
    )
    module.Tensor = lambda name, array: (name, array)
    module.InferenceResponse = SimpleNamespace
    module.TritonError = lambda sentence, code: SimpleNamespace(sentence=sentence, code=code)
    module.TritonError.CANCELLED = "cancelled"
    return module  # type: ignore[no-any-return]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setitem(sys.modules, TRITON, triton())
    for name in OF_TRITON:
        monkeypatch.delitem(sys.modules, name, raising=False)
    file = SERVED_MODELS / "preprocess" / "model.py"
    spec = importlib.util.spec_from_file_location("preprocess_model", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.TritonPythonModel()
    wanted = FrameFormat(32, 32, DecodeLimits(max_bytes=10**6, max_pixels=10**6))
    model._loader = FrameLoader(wanted, cores=1, instances=1)
    model._tickets = Tickets()
    model._metrics = SimpleNamespace(add=lambda amounts: None, close=lambda: None)
    yield model
    model.finalize()
    for name in OF_TRITON:
        sys.modules.pop(name, None)


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
