"""Triton's side of the network step, for servers whose Triton has no backend for the network."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import triton_python_backend_utils as pb_utils
from contract import CANDIDATES, FRAME

from cores import allowed_cores
from frame_runs import FrameRuns
from runtime import Network
from triton_requests import (
    abandoned,
    failure,
    input_array,
    is_abandoned,
    response,
    version_folder,
    version_settings,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

STEP = "network"


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Compile the network for this processor, run it, start the threads."""
        cores = allowed_cores()
        settings = version_settings(args)
        # Before there are other threads, which inherit it. A server without streams has no setting.
        os.nice(int(settings.get("gives_way", "0")))
        largest = int(settings["input_height"]), int(settings["input_width"])
        self._network = Network(
            version_folder(args) / "model.onnx",
            cores,
            largest,
            settings["precision"],
            int(settings["least_side"]),
        )
        if self._network.remark:
            pb_utils.Logger.log_warn(f"{args['model_name']}: {self._network.remark}")
        self._runs = FrameRuns(self._network, cores)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run the frames of all requests; one that nobody waits for is not run.

        All answers leave together when the last frame is done: what Triton's statistics call the
        time of this step is then the time that it took, and what comes meanwhile forms a batch.
        """
        begun = time.monotonic()
        answers: list[Any] = [None] * len(requests)
        frames = [self._frames(number, requests, answers) for number in range(len(requests))]
        waiting = [number for number, answer in enumerate(answers) if answer is None]
        done = self._runs.run(
            [frames[number] for number in waiting],  # type: ignore[misc]
            [partial(_is_abandoned, requests[number], begun) for number in waiting],
        )
        for number, candidates in zip(waiting, done, strict=True):
            answers[number] = _answer(candidates)
        return answers

    def finalize(self) -> None:
        """End the threads."""
        self._runs.close()
        self._network.close()

    def _frames(
        self, number: int, requests: Sequence[Any], answers: list[Any]
    ) -> NDArray[np.uint8] | None:
        """Return the frames of a request; None where it is answered already."""
        try:
            frames = input_array(requests[number], FRAME)
            if frames.size:
                return frames
            # Whoever makes frames asks whether those that it has handed on were taken.
            answers[number] = response({CANDIDATES: self._network.no_candidates})
        except Exception as error:  # noqa: BLE001 - raising would send a traceback to the clients
            answers[number] = failure(error, STEP)
        return None


def _is_abandoned(request: Any, begun: float) -> bool:
    return is_abandoned(request, time.monotonic() - begun)


def _answer(candidates: NDArray[np.float32] | Exception | None) -> Any:
    if candidates is None:
        return abandoned()
    try:
        if isinstance(candidates, Exception):
            return failure(candidates, STEP)
        return response({CANDIDATES: candidates})
    except Exception as error:  # noqa: BLE001 - likewise
        return failure(error, STEP)
