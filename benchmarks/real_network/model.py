"""A detector as most are served: FP32 tensors in, the raw head out. OpenVINO computes it.

``detector.onnx`` and ``real.json`` (``precision``: ``f32`` or ``bf16``) lie beside this file. Each
instance keeps one core busy, which is what answers the most images.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

# Its import would tell Intel about it.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402 - not before that
import openvino.properties.hint as hints  # noqa: E402
import triton_python_backend_utils as pb_utils  # noqa: E402
from openvino import properties  # noqa: E402

PRECISIONS = {"f32": ov.Type.f32, "bf16": ov.Type.bf16}


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Compile the network for one core."""
        folder = Path(args["model_repository"]) / args["model_version"]
        settings = json.loads((folder / "real.json").read_text())
        self._network = ov.Core().compile_model(
            folder / "detector.onnx",
            "CPU",
            {
                hints.inference_precision: PRECISIONS[settings["precision"]],
                properties.inference_num_threads: 1,
                properties.streams.num: 1,
                hints.enable_cpu_pinning: False,
            },
        )
        self._request = self._network.create_infer_request()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer a batch, one image after the other: on a core that is no slower."""
        responses = []
        for request in requests:
            images = pb_utils.get_input_tensor_by_name(request, "images").as_numpy()
            self._request.infer({0: images}, share_inputs=True)
            raw = self._request.get_output_tensor(0).data
            tensor = pb_utils.Tensor("output0", raw.copy())
            responses.append(pb_utils.InferenceResponse(output_tensors=[tensor]))
        return responses
