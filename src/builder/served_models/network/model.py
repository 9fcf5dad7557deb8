"""Triton's side of the network step, for servers whose Triton has no backend for the network."""

from __future__ import annotations

from typing import Any

import numpy as np
from contract import CANDIDATES, FRAME

from cores import allowed_cores
from runtime import Network
from triton_requests import failure, input_array, response, version_folder


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Compile the network for this processor and run it once."""
        self._network = Network(version_folder(args) / "model.onnx", threads=allowed_cores())
        self._network.warm_up()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run the frames of all requests as one batch."""
        try:
            batches = [input_array(request, FRAME) for request in requests]
            frames = batches[0] if len(batches) == 1 else np.concatenate(batches)
            candidates = self._network.infer(frames)
        except Exception as error:  # noqa: BLE001 - raising would send a traceback to the clients
            return [failure(error, "network") for _ in requests]
        ends = np.cumsum([len(batch) for batch in batches])
        return [response({CANDIDATES: rows}) for rows in np.split(candidates, ends[:-1])]
