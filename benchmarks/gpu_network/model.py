"""A network step on the GPU, for a server without a backend for it: the pipeline's file, in torch.

Beside it lie ``model.onnx`` and ``gpu.json``: ``device``, torch's name of it, ``width``, ``height``
and ``max_batch``. Frames go straight into memory that the GPU can read by itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import triton_python_backend_utils as pb_utils
from onnx_in_torch import OnnxInTorch


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the network, and run the smallest and the largest batch to have their memory."""
        folder = Path(args["model_repository"]) / args["model_version"]
        settings = json.loads((folder / "gpu.json").read_text())
        self._device = torch.device(settings["device"])
        self._network = OnnxInTorch(folder / "model.onnx", settings["device"])
        shape = (settings["max_batch"], settings["height"], settings["width"], 3)
        self._frames = torch.full(
            shape, 114, dtype=torch.uint8, pin_memory=self._device.type == "cuda"
        )
        for frames in (1, len(self._frames)):
            self._infer(frames)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run the frames of all requests as one batch."""
        sizes: list[int] = []
        for request in requests:
            frames = pb_utils.get_input_tensor_by_name(request, "frame").as_numpy()
            begin = sum(sizes)
            self._frames[begin : begin + len(frames)].copy_(torch.from_numpy(frames))
            sizes.append(len(frames))
        candidates = torch.split(self._infer(sum(sizes)), sizes)
        return [
            pb_utils.InferenceResponse(
                output_tensors=[pb_utils.Tensor("candidates", rows.contiguous().numpy())]
            )
            for rows in candidates
        ]

    def _infer(self, frames: int) -> torch.Tensor:
        sent = self._frames[:frames].to(self._device, non_blocking=True)
        return self._network.infer(sent).cpu()
