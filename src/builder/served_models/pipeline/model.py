"""The whole pipeline in one Python process that calls the network through BLS.

Requests that wait for a process are taken together, decoded together and go to the network as one
batch: under load each bears a share of what the messages between the processes cost. A request that
comes alone waits for no other. Those that nobody waits for any more cost no further work.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from contract import GEOMETRY

from detection_counts import DETECTION_COUNTERS, DetectionTally
from detections import detection_tensors, no_detections
from frame_loader import frame_loader_from_settings
from frames import frame_tensors
from image_batch import ImageBatch, RequestRows
from image_counts import IMAGE_COUNTERS, image_counts
from metrics import ProcessMetrics
from network_calls import NetworkCaller, NetworkError, NetworkUnavailableError
from network_share import picture_share
from request_parameters import BadParameterError
from request_thresholds import default_thresholds, thresholds_of_request
from triton_requests import (
    abandoned,
    failure,
    is_abandoned,
    refusal,
    response,
    unavailable,
    version_settings,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from frame_batch import FrameBatch
    from nms import Thresholds

STEP = "pipeline"
# Batches of frames of different shapes that wait for the network at once.
MOST_BATCHES = 8


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Make ready to decode and to call the network."""
        settings = version_settings(args)
        self._defaults = default_thresholds(settings)
        self._network = NetworkCaller(
            settings["network_model"], int(args["model_version"]), float(settings["network_wait_s"])
        )
        self._share = picture_share(settings, args)
        self._loader = frame_loader_from_settings(settings)
        # Made with the first batch that is not alone.
        self._callers = ThreadPoolExecutor(MOST_BATCHES, thread_name_prefix="network")
        self._metrics = ProcessMetrics(args, IMAGE_COUNTERS + DETECTION_COUNTERS)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer all requests; a bad one harms no other."""
        begun = time.monotonic()
        answers: list[Any] = [None] * len(requests)
        _end_abandoned(requests, answers, begun)
        thresholds = [self._thresholds(number, requests, answers) for number in range(len(answers))]
        batch = ImageBatch(requests, answers, STEP)
        frames = batch.load(self._loader)
        _end_abandoned(requests, answers, begun)
        candidates = self._candidates(requests, batch, frames)
        _end_abandoned(requests, answers, begun)
        tally = DetectionTally()
        for request in batch.unanswered():
            try:
                own = candidates.get(request.number)
                answers[request.number] = self._answer(
                    request, own, thresholds[request.number], tally
                )
            except Exception as error:  # noqa: BLE001 - raising would fail its neighbours too
                answers[request.number] = failure(error, STEP)
        self._metrics.add(image_counts(batch.loaded) | tally.amounts())
        return answers

    def finalize(self) -> None:
        """End the threads."""
        self._loader.close()
        self._callers.shutdown()
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
        self, requests: Sequence[Any], batch: ImageBatch, frames: FrameBatch
    ) -> dict[int, NDArray[np.float32]]:
        """Run the network for the requests that still need it; where it fails, answer them.

        Requests whose frames have one shape are a batch of the network's, and all batches are under
        way at once.

        Returns:
            By the requests' numbers float32 ``[n, K, 6]``, of those that have a readable image.
        """
        batches: dict[tuple[int, ...], list[RequestRows]] = {}
        for each in batch.unanswered():
            if each.has_image:
                batches.setdefault(frames.shape_of(each.index), []).append(each)
        self._share.wait(sum(len(each.loaded) for rows in batches.values() for each in rows))
        # In this thread where there is but one.
        run = self._callers.map if len(batches) > 1 else map
        found: dict[int, NDArray[np.float32]] = {}
        for candidates in run(partial(self._run, requests, batch, frames), batches.values()):
            found |= candidates
        return found

    def _run(
        self,
        requests: Sequence[Any],
        batch: ImageBatch,
        frames: FrameBatch,
        waiting: Sequence[RequestRows],
    ) -> dict[int, NDArray[np.float32]]:
        """Run the frames of requests that have one shape."""
        together = frames.by_shape[frames.shape_of(waiting[0].index)]
        # Of what was refused, or given up, nothing is run.
        rows = [frames.rows_of(each.index) for each in waiting]
        needed = np.concatenate([np.arange(each.start, each.stop) for each in rows])
        if len(needed) < len(together):
            together = together[needed]
        # A run of the network for several requests bears the id and the trace of the first.
        first = requests[waiting[0].number]
        try:
            found = self._network.candidates(together, first.request_id(), first.trace())
        except NetworkUnavailableError:
            sentence = "the network takes no requests at the moment: try again"
            answers = [unavailable(sentence) for _ in waiting]
        except NetworkError as error:
            answers = [failure(error, "network") for _ in waiting]
        except Exception as error:  # noqa: BLE001 - raising would fail its neighbours too
            answers = [failure(error, STEP) for _ in waiting]
        else:
            ends = np.cumsum([len(each.loaded) for each in waiting])
            parts = np.split(found, ends[:-1])
            return {each.number: part for each, part in zip(waiting, parts, strict=True)}
        for each, answer in zip(waiting, answers, strict=True):
            batch.answers[each.number] = answer
        return {}

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
        found = detection_tensors(candidates, geometry, thresholds, max_det)
        tally.count(candidates, geometry, thresholds, found)
        return response(found | of_frames)


def _end_abandoned(requests: Sequence[Any], answers: list[Any], begun: float) -> None:
    """Answer the requests that nobody waits for any more."""
    held_s = time.monotonic() - begun
    for number, request in enumerate(requests):
        if answers[number] is None and is_abandoned(request, held_s):
            answers[number] = abandoned()
