"""One compilation of the network by OpenVINO, and the requests that run it."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING

# Importing OpenVINO tells Intel that it was imported, unless this package of its is missing. Its
# converter of models may be missing too, and is half the time that the import takes.
for unwanted in ("openvino_telemetry", "openvino.tools.ovc"):
    sys.modules.setdefault(unwanted, None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402 - not before that
import openvino.properties.hint as hints  # noqa: E402
from openvino import properties  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray


class Compilation:
    """A network compiled for so many frames at once, which share the cores evenly.

    Args:
        core: OpenVINO.
        model: what to compile.
        cores: that it may keep busy.
        arithmetic: what it computes in.
        at_once: frames: 1, which has all cores, or one for each core.

    Raises:
        RuntimeError: OpenVINO cannot compile it.
    """

    def __init__(
        self, core: ov.Core, model: ov.Model, cores: int, arithmetic: ov.Type, at_once: int
    ) -> None:
        many = at_once > 1
        self._compiled = core.compile_model(
            model,
            "CPU",
            {
                # Left alone it computes in bfloat16 where the processor can: twice as fast, but
                # boxes move by more than a pixel and scores by more than 0.01. Who wants that says
                # so.
                hints.inference_precision: arithmetic,
                hints.performance_mode: hints.PerformanceMode.THROUGHPUT
                if many
                else hints.PerformanceMode.LATENCY,
                properties.inference_num_threads: cores,
                properties.streams.num: at_once,
                # The decoding processes run on the same cores.
                hints.enable_cpu_pinning: False,
            },
        )
        self.at_once = at_once
        # A request holds the inputs and outputs of one run. They are made here, in one thread,
        # before any of them runs.
        self._idle: SimpleQueue[ov.InferRequest] = SimpleQueue()
        for _ in range(at_once):
            self._idle.put(self._compiled.create_infer_request())

    @property
    def output_shape(self) -> ov.PartialShape:
        """Of the candidates, ``[n, K, 6]``."""
        return self._compiled.output(0).get_partial_shape()

    def infer(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run frames; threads that are more than it runs at once wait for each other.

        Args:
            frames: uint8 ``[n, height, width, 3]``, BGR.

        Returns:
            float32 ``[n, K, 6]``, a copy that stays valid.
        """
        request = self._idle.get()
        try:
            request.infer({0: frames}, share_inputs=True)
            candidates: NDArray[np.float32] = request.get_output_tensor(0).data.copy()
        finally:
            self._idle.put(request)
        return candidates

    def warm_up(self, frames: NDArray[np.uint8]) -> None:
        """Run everything once: first runs initialise what all need.

        One after the other to begin with: OpenVINO may lock up where the first two run together.
        """
        with self._all_requests() as requests:
            for request in requests:
                request.infer({0: frames}, share_inputs=True)
            _seconds_together(requests, frames)

    def measure(self, frames: NDArray[np.uint8], runs: int) -> float:
        """Return the least time, in seconds, of so many runs of as many as it runs at once."""
        with self._all_requests() as requests:
            return min(_seconds_together(requests, frames) for _ in range(runs))

    def release(self) -> None:
        """Free what only runs need; the next run of each request makes it again."""
        with self._all_requests():
            self._compiled.release_memory()

    @contextmanager
    def _all_requests(self) -> Iterator[list[ov.InferRequest]]:
        """Wait until nothing runs, and keep others from running anything.

        Only ever in one thread: two would wait for each other's.
        """
        requests = [self._idle.get() for _ in range(self.at_once)]
        try:
            yield requests
        finally:
            for request in requests:
                self._idle.put(request)


def _seconds_together(requests: list[ov.InferRequest], frames: NDArray[np.uint8]) -> float:
    begun = time.perf_counter()
    for request in requests:
        request.start_async({0: frames}, share_inputs=True)
    for request in requests:
        request.wait()
    return time.perf_counter() - begun
