"""The runtime of the network in Python: OpenVINO. To use another one, change this file only.

OpenVINO rather than ONNX Runtime because, served on the same two cores, it answered up to 1.2 times
as many frames with less memory, and gives the same candidates while held at float32
(docs/performance.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import openvino as ov
import openvino.properties.hint as hints
from openvino import properties

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


class Network:
    """A compiled network: frames to candidates.

    Args:
        onnx_file: a network as the builder writes it: uint8 ``[n, height, width, 3]`` in, float32
            ``[n, K, 6]`` out.
        threads: cores it may keep busy.

    Raises:
        RuntimeError: OpenVINO cannot read or compile the file.
    """

    def __init__(self, onnx_file: Path, threads: int) -> None:
        core = ov.Core()
        self._compiled = core.compile_model(
            core.read_model(onnx_file),
            "CPU",
            {
                # Left alone it computes in bfloat16 where the processor can: twice as fast, but
                # boxes move by more than a pixel and scores by more than 0.01.
                hints.inference_precision: ov.Type.f32,
                hints.performance_mode: hints.PerformanceMode.LATENCY,
                properties.inference_num_threads: threads,
            },
        )
        self._request = self._compiled.create_infer_request()

    def warm_up(self) -> None:
        """Run one grey frame, so that the first camera does not pay for lazy initialisation."""
        _, height, width, channels = self._compiled.input(0).get_partial_shape()
        shape = (1, height.get_length(), width.get_length(), channels.get_length())
        self.infer(np.full(shape, 114, np.uint8))

    def infer(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run a batch.

        Args:
            frames: uint8 ``[n, height, width, 3]``, BGR.

        Returns:
            float32 ``[n, K, 6]``, a copy that stays valid.
        """
        self._request.infer({0: frames}, share_inputs=True)
        candidates: NDArray[np.float32] = self._request.get_output_tensor(0).data.copy()
        return candidates
