"""Calls of the network from inside another model's process, through Triton (BLS)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import triton_python_backend_utils as pb_utils
from contract import CANDIDATES, FRAME

if TYPE_CHECKING:
    from numpy.typing import NDArray

NETWORK_LOOK_S = 0.02


class NetworkError(Exception):
    """The network failed; the message is Triton's."""


class NetworkUnavailableError(NetworkError):
    """The network takes no requests at the moment: the server is stopping, say."""


class NetworkNotLoadedError(NetworkUnavailableError):
    """The network has not been loaded yet, or no longer is."""


class NetworkCaller:
    """Calls one version of the network.

    Args:
        model: Triton's name of it.
        version: of it.
        wait_s: for so many seconds after the start requests wait for it. Triton loads this model
            and its network at once and does not know that one needs the other; a plan takes seconds
            to load, and OpenVINO's compilation tens of them on a slow processor.
    """

    def __init__(self, model: str, version: int, wait_s: float) -> None:
        self._model = model
        self._version = version
        self._deadline = time.monotonic() + wait_s

    def candidates(
        self, frames: NDArray[np.uint8], request_id: str, trace: Any
    ) -> NDArray[np.float32]:
        """Run frames as one batch; waits, soon after the start, until the network is loaded.

        Args:
            frames: uint8 ``[n, height, width, 3]``.
            request_id: to call it by; BLS forwards none by itself.
            trace: likewise.

        Returns:
            float32 ``[n, K, 6]``, in memory of their own.

        Raises:
            NetworkError: the network did not answer with candidates.
        """
        while True:
            try:
                return self._call(frames, request_id=request_id, trace=trace)
            except NetworkNotLoadedError:
                if time.monotonic() > self._deadline:
                    raise
            time.sleep(NETWORK_LOOK_S)

    def wait_in_line(self, frame: tuple[int, ...]) -> None:
        """Return when the network has taken what it was given until now, and one more frame.

        Args:
            frame: shape of it; a network in Python runs none that has no pixels.

        Raises:
            NetworkError: the network did not take it.
        """
        self._call(np.zeros((1, *frame), np.uint8))

    def _call(self, frames: NDArray[np.uint8], **origin: Any) -> NDArray[np.float32]:
        answer = pb_utils.InferenceRequest(
            model_name=self._model,
            model_version=self._version,
            requested_output_names=[CANDIDATES.name],
            inputs=[pb_utils.Tensor(FRAME.name, frames)],
            **origin,
        ).exec()
        if answer.has_error():
            raise _network_error(answer.error())
        candidates = pb_utils.get_output_tensor_by_name(answer, CANDIDATES.name).as_numpy()
        # The array lies in memory that the answer gives back when it goes out of scope.
        copied: NDArray[np.float32] = candidates.copy()
        return copied


def _network_error(error: Any) -> NetworkError:
    message = error.message()
    # Triton calls these internal errors, and has no other sign for them.
    if message.endswith("is not ready."):
        return NetworkNotLoadedError(message)
    # Its process died, or Triton lost touch with it: whoever looks after Triton starts it again.
    gone = message.endswith("Server not ready") or "is not healthy" in message
    if gone or error.code() == pb_utils.TritonError.UNAVAILABLE:
        return NetworkUnavailableError(message)
    return NetworkError(message)
