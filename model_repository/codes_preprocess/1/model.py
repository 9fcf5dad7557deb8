"""Triton's side of the preprocess step: encoded images in, letterboxed frames out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from contract import FRAME, TICKET

from frame_loader import frame_loader_from_settings
from frame_tickets import HELD_SECONDS, frame_tickets_from_settings
from frames import frame_tensors
from image_batch import ImageBatch
from image_counts import IMAGE_COUNTERS, image_counts
from metrics import ProcessMetrics, Series
from triton_requests import end_late, failure, response, version_settings

if TYPE_CHECKING:
    from contract import Tensor
    from numpy.typing import NDArray

STEP = "preprocess"


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Make ready to decode."""
        settings = version_settings(args)
        self._loader = frame_loader_from_settings(settings)
        self._tickets = frame_tickets_from_settings(settings, args)
        self._metrics = ProcessMetrics(args, (*IMAGE_COUNTERS, HELD_SECONDS))

    def execute(self, requests: list[Any]) -> list[Any]:
        """Decode the images of all requests and wait for room behind; a bad one harms no other."""
        begun = time.monotonic()
        batch = ImageBatch(requests, [None] * len(requests), STEP)
        frames = batch.load(self._loader)
        # Triton does not tell the first step of an ensemble that a client hung up.
        end_late(requests, batch.answers, begun)
        handed_on = list(batch.unanswered())
        tickets = self._tickets.take(sum(len(request.loaded) for request in handed_on))
        held_s = self._tickets.held_s * len(handed_on)
        self._metrics.add(image_counts(batch.loaded) | {Series(HELD_SECONDS): held_s})
        end_late(requests, batch.answers, begun)
        for request in handed_on:
            own, tickets = np.split(tickets, [len(request.loaded)])
            if batch.answers[request.number] is not None:
                continue
            try:
                tensors: dict[Tensor, NDArray[Any]] = {
                    FRAME: frames.of_request(request.index),
                    TICKET: own,
                    **frame_tensors(request.loaded),
                }
                batch.answers[request.number] = response(tensors)
            except Exception as error:  # noqa: BLE001 - raising would fail its neighbours too
                batch.answers[request.number] = failure(error, STEP)
        return batch.answers

    def finalize(self) -> None:
        """End the threads."""
        self._loader.close()
        self._metrics.close()
