"""The whole pipeline in one Python process that calls the network through BLS.

One hop fewer than the ensemble: frames go straight from the decoding threads to the network.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import triton_python_backend_utils as pb_utils
from contract import (
    CANDIDATES,
    FRAME,
    GEOMETRY,
    IMAGE,
    IMAGE_SIZE,
    IMAGE_STATUS,
    ImageStatus,
)

from cores import allowed_cores
from detections import detection_tensors, no_detections
from frame_loader import frame_loader_from_settings
from frames import LoadedFrame, frame_tensors
from request_thresholds import BadParameterError, default_thresholds, thresholds_of_request
from triton_requests import (
    failure,
    image_bytes,
    refusal,
    response,
    send_final,
    unavailable,
    version_settings,
)

if TYPE_CHECKING:
    import numpy as np
    from contract import Tensor
    from numpy.typing import NDArray

    from nms import Thresholds

STEP = "pipeline"
# Triton loads this model and its network at once and does not know that one needs the other. For so
# long after the start requests wait for the network: a plan takes seconds to load, and OpenVINO's
# compilation tens of them on a slow processor.
NETWORK_WAIT_S = 120
NETWORK_LOOK_S = 0.02


class NetworkError(Exception):
    """The network failed; the message is Triton's."""


class NetworkUnavailableError(NetworkError):
    """The network takes no requests at the moment: its queue is full or the server is stopping."""


class NetworkNotLoadedError(NetworkUnavailableError):
    """The network has not been loaded yet, or no longer is."""


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Start the decoding threads and those that wait for the network."""
        settings = version_settings(args)
        in_flight = int(settings["network_requests_in_flight"])
        self._defaults = default_thresholds(settings)
        self._network_model = settings["network_model"]
        self._network_version = int(args["model_version"])
        self._loader = frame_loader_from_settings(settings)
        # Threads, because each waits for the network: with as many in flight as the network's
        # largest batch, its dynamic batcher can fill one.
        self._waiters = ThreadPoolExecutor(in_flight, thread_name_prefix="network")
        self._slots = threading.BoundedSemaphore(in_flight + 2 * allowed_cores())
        self._network_deadline = time.monotonic() + NETWORK_WAIT_S

    def execute(self, requests: list[Any]) -> None:
        """Accept every request, blocking while too many are under way."""
        for request in requests:
            self._slots.acquire()
            sender = request.get_response_sender()
            try:
                thresholds = thresholds_of_request(request.parameters(), self._defaults)
                images = image_bytes(request, IMAGE)
            except BadParameterError as error:
                self._send(sender, refusal(str(error)))
            except Exception as error:  # noqa: BLE001 - raising would fail its neighbours too
                self._fail(sender, error)
            else:
                call = _Call(sender, request.request_id(), request.trace(), thresholds)
                self._loader.load(images, partial(self._loaded, call), partial(self._fail, sender))

    def finalize(self) -> None:
        """Answer what was accepted."""
        self._loader.close()
        self._waiters.shutdown(wait=True)

    def _loaded(self, call: _Call, frames: NDArray[np.uint8], loaded: list[LoadedFrame]) -> None:
        if len(loaded) == 1 and loaded[0].status != ImageStatus.OK:
            self._send(call.sender, refusal(loaded[0].reason))
        else:
            self._waiters.submit(self._finish, call, frames, loaded)

    def _finish(self, call: _Call, frames: NDArray[np.uint8], loaded: list[LoadedFrame]) -> None:
        try:
            answer = response(self._detect(call, frames, loaded))
        except NetworkUnavailableError:
            answer = unavailable("the network takes no requests at the moment: try again")
        except NetworkError as error:
            answer = failure(error, "network")
        except Exception as error:  # noqa: BLE001 - an answer is owed whatever happened
            answer = failure(error, STEP)
        self._send(call.sender, answer)

    def _detect(
        self, call: _Call, frames: NDArray[np.uint8], loaded: list[LoadedFrame]
    ) -> dict[Tensor, NDArray[Any]]:
        max_det = self._defaults.thresholds.max_det
        of_frames = frame_tensors(loaded)
        if any(frame.status == ImageStatus.OK for frame in loaded):
            candidates = self._candidates_when_loaded(call, frames)
            tensors = detection_tensors(candidates, of_frames[GEOMETRY], call.thresholds, max_det)
        else:
            tensors = no_detections(len(loaded), max_det)
        tensors |= {tensor: of_frames[tensor] for tensor in (IMAGE_STATUS, IMAGE_SIZE)}
        return tensors

    def _candidates_when_loaded(
        self, call: _Call, frames: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        while True:
            try:
                return self._candidates(call, frames)
            except NetworkNotLoadedError:
                if time.monotonic() > self._network_deadline:
                    raise
            time.sleep(NETWORK_LOOK_S)

    def _candidates(self, call: _Call, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        # BLS forwards neither the request's id nor its trace by itself.
        answer = pb_utils.InferenceRequest(
            model_name=self._network_model,
            model_version=self._network_version,
            requested_output_names=[CANDIDATES.name],
            inputs=[pb_utils.Tensor(FRAME.name, frames)],
            request_id=call.request_id,
            trace=call.trace,
        ).exec()
        if answer.has_error():
            raise _network_error(answer.error())
        candidates = pb_utils.get_output_tensor_by_name(answer, CANDIDATES.name).as_numpy()
        # The array lies in memory that the answer gives back when it goes out of scope.
        copied: NDArray[np.float32] = candidates.copy()
        return copied

    def _fail(self, sender: Any, error: BaseException) -> None:
        self._send(sender, failure(error, STEP))

    def _send(self, sender: Any, answer: Any) -> None:
        self._slots.release()
        send_final(sender, answer, STEP)


def _network_error(error: Any) -> NetworkError:
    message = error.message()
    # Triton calls these internal errors, and has no other sign for them.
    if message.endswith("is not ready."):
        return NetworkNotLoadedError(message)
    if error.code() == pb_utils.TritonError.UNAVAILABLE or message.endswith("Server not ready"):
        return NetworkUnavailableError(message)
    return NetworkError(message)


class _Call:
    """What of a request outlives ``execute``."""

    def __init__(self, sender: Any, request_id: str, trace: Any, thresholds: Thresholds) -> None:
        self.sender = sender
        self.request_id = request_id
        self.trace = trace
        self.thresholds = thresholds
