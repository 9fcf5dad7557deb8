"""A network that computes nothing and returns a YOLOv8 head's raw output: 84 x 8400, FP32."""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from fixed_scene import fixed_candidates

SIZE = 640
CLASSES, ANCHORS = 80, 8400


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:  # noqa: ARG002 - Triton's signature
        """Make the answer."""
        found = fixed_candidates(SIZE, SIZE, CLASSES)
        self._output = np.zeros((1, 4 + CLASSES, ANCHORS), np.float32)
        # Spread over the anchors, as a network's finds are.
        for column, row in zip(
            np.linspace(0, ANCHORS - 1, len(found)).astype(int), found, strict=True
        ):
            x1, y1, x2, y2, score, label = row
            self._output[0, :4, column] = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
            self._output[0, 4 + int(label), column] = score

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer a batch."""
        responses = []
        for request in requests:
            images = pb_utils.get_input_tensor_by_name(request, "images").shape()[0]
            answer = self._output if images == 1 else self._output.repeat(images, 0)
            tensor = pb_utils.Tensor("output0", answer)
            responses.append(pb_utils.InferenceResponse(output_tensors=[tensor]))
        return responses
