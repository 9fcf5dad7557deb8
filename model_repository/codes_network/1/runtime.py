"""The runtime of the network in Python: OpenVINO. To use another one, change this file only.

OpenVINO rather than ONNX Runtime because, served on the same two cores, it answered up to 1.2 times
as many frames with less memory, and gives the same candidates while held at float32
(docs/performance.md).
"""

from __future__ import annotations

import sys
from queue import SimpleQueue
from typing import TYPE_CHECKING

import numpy as np

# Importing OpenVINO tells Intel that it was imported, unless this package of its is missing. Its
# converter of models may be missing too, and is half the time that the import takes.
for unwanted in ("openvino_telemetry", "openvino.tools.ovc"):
    sys.modules.setdefault(unwanted, None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402 - not before that
import openvino.properties.hint as hints  # noqa: E402
from openvino import properties  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


# As the builder writes it into a version's settings: float32 weights, computed in bfloat16.
BFLOAT16 = "bf16"


class Network:
    """A network compiled twice: for one frame on all cores, and for a frame on each core.

    One frame is done soonest when all cores share it. Many are done soonest when each core has one
    of its own: nothing is waited for inside a frame.

    Args:
        onnx_file: a network as the builder writes it: uint8 ``[n, height, width, 3]`` in, float32
            ``[n, K, 6]`` out. Where it leaves height and width open, OpenVINO makes what it needs
            for a size with the first frame that has it, and keeps it.
        cores: that it may keep busy.
        largest: height and width of the largest frame, where the file leaves them open.
        precision: of the build's settings. ``bf16`` is computed in bfloat16 where the processor
            does, and everything else in what the file says.

    Attributes:
        remark: what a person should know about the precision, or nothing.

    Raises:
        RuntimeError: OpenVINO cannot read or compile the file.
    """

    def __init__(
        self, onnx_file: Path, cores: int, largest: tuple[int, int], precision: str = "fp32"
    ) -> None:
        self._largest = largest
        core = ov.Core()
        model = core.read_model(onnx_file)
        arithmetic, self.remark = _arithmetic(core, precision)
        self._alone = _compiled(core, model, cores, arithmetic, streams=1)
        self._apart = (
            _compiled(core, model, cores, arithmetic, streams=cores) if cores > 1 else self._alone
        )
        # A request holds the inputs and outputs of one run. They are made here, in one thread,
        # while nothing runs.
        self._idle_alone = _requests(self._alone, 1)
        self._idle_apart = _requests(self._apart, cores)

    @property
    def grey_frame(self) -> NDArray[np.uint8]:
        """Return uint8 ``[1, height, width, 3]``, all padding, of the largest size."""
        sides = list(self._alone.input(0).get_partial_shape())[1:3]
        largest = [
            side.get_length() if side.is_static else most
            for side, most in zip(sides, self._largest, strict=True)
        ]
        return np.full((1, *largest, 3), 114, np.uint8)

    @property
    def no_candidates(self) -> NDArray[np.float32]:
        """Return float32 ``[1, K, 6]``, all zeros."""
        _, rows, columns = self._alone.output(0).get_partial_shape()
        return np.zeros((1, rows.get_length(), columns.get_length()), np.float32)

    def infer(self, frames: NDArray[np.uint8], *, alone: bool) -> NDArray[np.float32]:
        """Run frames; threads that are more than the cores wait for each other.

        Args:
            frames: uint8 ``[n, height, width, 3]``, BGR.
            alone: whether on all cores, else on one.

        Returns:
            float32 ``[n, K, 6]``, a copy that stays valid.
        """
        idle = self._idle_alone if alone else self._idle_apart
        request = idle.get()
        try:
            request.infer({0: frames}, share_inputs=True)
            candidates: NDArray[np.float32] = request.get_output_tensor(0).data.copy()
        finally:
            idle.put(request)
        return candidates


def _requests(compiled: ov.CompiledModel, count: int) -> SimpleQueue[ov.InferRequest]:
    idle: SimpleQueue[ov.InferRequest] = SimpleQueue()
    for _ in range(count):
        idle.put(compiled.create_infer_request())
    return idle


def computes_bfloat16(core: ov.Core) -> bool:
    """Return whether the processor has instructions for it; OpenVINO would emulate them."""
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _arithmetic(core: ov.Core, precision: str) -> tuple[ov.Type, str]:
    """Return what is computed in, and what a person should know about it."""
    if precision != BFLOAT16:
        return ov.Type.f32, ""
    if computes_bfloat16(core):
        return ov.Type.bf16, ""
    return ov.Type.f32, (
        "this processor computes no bfloat16 (the flags in /proc/cpuinfo have neither avx512_bf16 "
        "nor amx_bf16), so that float32 is computed instead of --precision bf16"
    )


def _compiled(
    core: ov.Core, model: ov.Model, cores: int, arithmetic: ov.Type, *, streams: int
) -> ov.CompiledModel:
    many = streams > 1
    return core.compile_model(
        model,
        "CPU",
        {
            # Left alone it computes in bfloat16 where the processor can: twice as fast, but
            # boxes move by more than a pixel and scores by more than 0.01. Who wants that says so.
            hints.inference_precision: arithmetic,
            hints.performance_mode: hints.PerformanceMode.THROUGHPUT
            if many
            else hints.PerformanceMode.LATENCY,
            properties.inference_num_threads: cores,
            properties.streams.num: streams,
            # The decoding processes run on the same cores.
            hints.enable_cpu_pinning: False,
        },
    )
