"""The whole pipeline in one Python process that calls the network through BLS.

Requests that wait for a process are taken together, decoded together and go to the network as one
batch: under load each bears a share of what the messages between the processes cost. A request that
comes alone waits for no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contract import GEOMETRY, ImageStatus

from detection_counts import DETECTION_COUNTERS, DetectionTally
from detections import detection_tensors, no_detections
from frame_loader import frame_loader_from_settings
from frames import frame_tensors
from image_batch import ImageBatch, RequestRows
from image_counts import IMAGE_COUNTERS, image_counts
from metrics import ProcessMetrics
from network_calls import NetworkCaller, NetworkError, NetworkUnavailableError
from request_thresholds import BadParameterError, default_thresholds, thresholds_of_request
from triton_requests import failure, refusal, response, unavailable, version_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from nms import Thresholds

STEP = "pipeline"


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Make ready to decode and to call the network."""
        settings = version_settings(args)
        self._defaults = default_thresholds(settings)
        self._network = NetworkCaller(settings["network_model"], int(args["model_version"]))
        self._loader = frame_loader_from_settings(settings)
        self._metrics = ProcessMetrics(args, IMAGE_COUNTERS + DETECTION_COUNTERS)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer all requests; a bad one harms no other."""
        answers: list[Any] = [None] * len(requests)
        thresholds = [self._thresholds(number, requests, answers) for number in range(len(answers))]
        batch = ImageBatch(requests, answers, STEP)
        frames = batch.load(self._loader)
        candidates = self._candidates(requests, batch, frames)
        tally = DetectionTally()
        for request in batch.unanswered():
            try:
                answers[request.number] = self._answer(
                    request, candidates, thresholds[request.number], tally
                )
            except Exception as error:  # noqa: BLE001 - raising would fail its neighbours too
                answers[request.number] = failure(error, STEP)
        self._metrics.add(image_counts(batch.loaded) | tally.amounts())
        return answers

    def finalize(self) -> None:
        """End the threads."""
        self._loader.close()
        self._metrics.close()

    def _thresholds(self, number: int, requests: Sequence[Any], answers: list[Any]) -> Thresholds:
        try:
            return thresholds_of_request(requests[number].parameters(), self._defaults)
        except BadParameterError as error:
            answers[number] = refusal(str(error))
        except Exception as error:  # noqa: BLE001 - likewise
            answers[number] = failure(error, STEP)
        return self._defaults.thresholds

    def _candidates(
        self, requests: Sequence[Any], batch: ImageBatch, frames: NDArray[np.uint8]
    ) -> NDArray[np.float32] | None:
        """Run the network, unless no image could be read; if it fails, answer all requests."""
        waiting = list(batch.unanswered())
        if all(frame.status != ImageStatus.OK for each in waiting for frame in each.loaded):
            return None
        # A run of the network for several requests bears the id and the trace of the first.
        first = requests[waiting[0].number]
        try:
            return self._network.candidates(frames, first.request_id(), first.trace())
        except NetworkUnavailableError:
            sentence = "the network takes no requests at the moment: try again"
            answers = [unavailable(sentence) for _ in waiting]
        except NetworkError as error:
            answers = [failure(error, "network") for _ in waiting]
        except Exception as error:  # noqa: BLE001 - likewise
            answers = [failure(error, STEP) for _ in waiting]
        for each, answer in zip(waiting, answers, strict=True):
            batch.answers[each.number] = answer
        return None

    def _answer(
        self,
        request: RequestRows,
        candidates: NDArray[np.float32] | None,
        thresholds: Thresholds,
        tally: DetectionTally,
    ) -> Any:
        max_det = self._defaults.thresholds.max_det
        of_frames = frame_tensors(request.loaded)
        geometry = of_frames.pop(GEOMETRY)
        if candidates is None:
            return response(no_detections(len(request.loaded), max_det) | of_frames)
        own = candidates[request.rows]
        found = detection_tensors(own, geometry, thresholds, max_det)
        tally.count(own, geometry, thresholds, found)
        return response(found | of_frames)
