"""Triton's side of the postprocess step: candidates in, boxes in source pixels out."""

from __future__ import annotations

from typing import Any

from contract import CANDIDATES, GEOMETRY

from detections import detection_tensors
from request_thresholds import BadParameterError, default_thresholds, thresholds_of_request
from triton_requests import failure, input_array, refusal, response, version_settings


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the thresholds that hold when a request names none."""
        self._defaults = default_thresholds(version_settings(args))

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request for itself; a bad one harms no other."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        try:
            arrays = detection_tensors(
                input_array(request, CANDIDATES),
                input_array(request, GEOMETRY),
                thresholds_of_request(request.parameters(), self._defaults),
                self._defaults.thresholds.max_det,
            )
            return response(arrays)
        except BadParameterError as error:
            return refusal(str(error))
        except Exception as error:  # noqa: BLE001 - raising here would fail its neighbours too
            return failure(error, "postprocess")
