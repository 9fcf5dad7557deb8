"""Triton's side of the postprocess step: candidates in, boxes in source pixels out."""

from __future__ import annotations

from typing import Any

from contract import CANDIDATES, GEOMETRY, TICKET

from detection_counts import DETECTION_COUNTERS, DetectionTally
from detections import detection_tensors
from metrics import ProcessMetrics
from request_parameters import BadParameterError
from request_thresholds import default_thresholds, thresholds_of_request
from returned_tickets import ReturnedTickets
from triton_requests import abandoned, failure, input_array, refusal, response, version_settings


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the thresholds that hold when a request names none."""
        self._defaults = default_thresholds(version_settings(args))
        self._tickets = ReturnedTickets()
        self._metrics = ProcessMetrics(args, DETECTION_COUNTERS)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request for itself; a bad one harms no other."""
        tally = DetectionTally()
        answers = [self._answer(request, tally) for request in requests]
        self._metrics.add(tally.amounts())
        return answers

    def finalize(self) -> None:
        """Send the last counts."""
        self._metrics.close()

    def _answer(self, request: Any, tally: DetectionTally) -> Any:
        try:
            self._tickets.give_back(input_array(request, TICKET))
            if request.is_cancelled():
                return abandoned()
            candidates = input_array(request, CANDIDATES)
            geometry = input_array(request, GEOMETRY)
            thresholds = thresholds_of_request(request.parameters(), self._defaults)
            max_det = self._defaults.thresholds.max_det
            found = detection_tensors(candidates, geometry, thresholds, max_det)
            tally.count(candidates, geometry, thresholds, found)
            return response(found)
        except BadParameterError as error:
            return refusal(str(error))
        except Exception as error:  # noqa: BLE001 - raising here would fail its neighbours too
            return failure(error, "postprocess")
