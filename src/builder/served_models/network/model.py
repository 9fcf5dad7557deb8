"""Triton's side of the network step, for servers whose Triton has no backend for the network."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from contract import CANDIDATES, FRAME

from cores import allowed_cores
from runtime import Network
from triton_requests import failure, input_array, response, send_final, version_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEP = "network"


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Compile the network for this processor, run it once, start a thread for each core."""
        cores = allowed_cores()
        self._network = Network(version_folder(args) / "model.onnx", cores)
        self._network.warm_up()
        self._threads = ThreadPoolExecutor(cores, thread_name_prefix="network")
        # Twice the cores: enough that none idles, few enough that requests wait in Triton's queue,
        # where its limits, priorities and timeouts apply, and not in ours.
        self._frames = threading.BoundedSemaphore(2 * cores)
        self._requests = _Count()

    def execute(self, requests: list[Any]) -> None:
        """Hand every frame to a thread; each request is answered when its own are done.

        Answers leave through a sender: waiting here for the last of them would leave cores idle.
        """
        for request in requests:
            sender = request.get_response_sender()
            try:
                # A copy, because the request gives its memory back when this call ends.
                work = _Work(sender, input_array(request, FRAME).copy())
            except Exception as error:  # noqa: BLE001 - raising would send a traceback to the clients
                send_final(sender, failure(error, STEP), STEP)
                continue
            self._requests.add(1)
            for index in range(len(work.frames)):
                self._frames.acquire()
                self._threads.submit(self._run, work, index)

    def finalize(self) -> None:
        """Answer what was accepted."""
        self._threads.shutdown(wait=True)

    def _run(self, work: _Work, index: int) -> None:
        try:
            # The only frame there is gets every core; else each core has a frame of its own.
            alone = len(work.frames) == 1 and self._requests.value == 1
            work.keep(index, self._network.infer(work.frames[index : index + 1], alone=alone))
        except Exception as error:  # noqa: BLE001 - likewise
            work.fail(error)
        self._frames.release()
        if work.unfinished.add(-1) == 0:
            self._requests.add(-1)
            send_final(work.sender, work.answer(), STEP)


class _Work:
    """The frames of one request; whichever thread finishes the last one answers."""

    def __init__(self, sender: Any, frames: NDArray[np.uint8]) -> None:
        self.sender = sender
        self.frames = frames
        self.unfinished = _Count(len(frames))
        self._candidates: list[NDArray[np.float32] | None] = [None] * len(frames)
        self._error: Exception | None = None

    def keep(self, index: int, candidates: NDArray[np.float32]) -> None:
        self._candidates[index] = candidates

    def fail(self, error: Exception) -> None:
        self._error = error

    def answer(self) -> Any:
        if self._error is not None:
            return failure(self._error, STEP)
        parts = [part for part in self._candidates if part is not None]
        return response({CANDIDATES: parts[0] if len(parts) == 1 else np.concatenate(parts)})


class _Count:
    """A number that several threads change."""

    def __init__(self, value: int = 0) -> None:
        self.value = value
        self._lock = threading.Lock()

    def add(self, amount: int) -> int:
        with self._lock:
            self.value += amount
            return self.value
