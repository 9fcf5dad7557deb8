"""A network step that computes nothing: the same candidates for every frame.

Beside it lies ``stub.json``: ``width``, ``height``, ``classes``, ``rows`` of an answer and
``delay_ms``, how long a run takes whatever its batch, as on a GPU that is not full.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from fixed_scene import fixed_candidates


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Make the answer."""
        folder = Path(args["model_repository"]) / args["model_version"]
        settings = json.loads((folder / "stub.json").read_text())
        found = fixed_candidates(settings["width"], settings["height"], settings["classes"])
        self._candidates = np.zeros((1, settings["rows"], 6), np.float32)
        kept = min(len(found), settings["rows"])
        self._candidates[0, :kept] = found[:kept]
        self._delay_s = settings["delay_ms"] / 1e3

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer a batch."""
        if self._delay_s:
            time.sleep(self._delay_s)
        responses = []
        for request in requests:
            frames = pb_utils.get_input_tensor_by_name(request, "frame").shape()[0]
            answer = self._candidates if frames == 1 else self._candidates.repeat(frames, 0)
            tensor = pb_utils.Tensor("candidates", answer)
            responses.append(pb_utils.InferenceResponse(output_tensors=[tensor]))
        return responses
