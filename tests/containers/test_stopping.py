"""What becomes of requests when their container is told to stop."""

from __future__ import annotations

import itertools
import re
import threading
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from tests import images
from tests.containers.conftest import StartContainer
from tests.tiny_detector import coloured_square

pytestmark = pytest.mark.containers

THREADS_EACH = 6
ANSWERS_FIRST = 60
# How Triton says no to a request that it has not begun.
DOOR_CODES = {"StatusCode.UNAVAILABLE", "StatusCode.NOT_FOUND"}
GONE_CODES = {"StatusCode.UNAVAILABLE", "StatusCode.CANCELLED"}
DOOR = re.compile(r"Request for unknown model: '(?P<model>\w+)' has no available versions")


@dataclass(frozen=True)
class Outcome:
    """What became of one request.

    Attributes:
        sent: its place in the order in which requests were sent.
        answer: the outputs' bytes; None for a refusal.
        code: of gRPC, where it failed.
        words: of the server, where it failed.
    """

    sent: int
    answer: tuple[bytes, ...] | None = None
    code: str = ""
    words: str = ""


class HardTraffic:
    """Threads that send one large picture over and over, and never twice."""

    def __init__(self, url: str, models: tuple[str, ...]) -> None:
        self.outcomes: dict[str, list[Outcome]] = {model: [] for model in models}
        # Large, so that some are always being decoded.
        large = cv2.resize(coloured_square("red"), (1920, 1920), interpolation=cv2.INTER_NEAREST)
        self._image = np.array([[images.encoded(large)]], dtype=object)
        self._url = url
        self._order = itertools.count()
        self._stop = threading.Event()
        self.enough = threading.Event()
        self._threads = [
            threading.Thread(target=self._send, args=(model,), daemon=True)
            for model in models
            for _ in range(THREADS_EACH)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _send(self, model: str) -> None:
        with InferenceServerClient(self._url) as client:
            while not self._stop.is_set():
                tensor = InferInput("image", [1, 1], "BYTES")
                tensor.set_data_from_numpy(self._image)
                sent = next(self._order)
                try:
                    result = client.infer(model, [tensor], client_timeout=60)
                except InferenceServerException as error:
                    outcome = Outcome(sent, None, str(error.status()), str(error.message()))
                else:
                    names = sorted(output.name for output in result.get_response().outputs)
                    answer = tuple(result.as_numpy(name).tobytes() for name in names)
                    outcome = Outcome(sent, answer)
                outcomes = self.outcomes[model]
                outcomes.append(outcome)
                if all(len(each) >= ANSWERS_FIRST for each in self.outcomes.values()):
                    self.enough.set()
                if outcome.answer is None:
                    self._stop.wait(0.01)


def test_sigterm_under_load_loses_no_accepted_request(
    start: StartContainer, tiny_repository: Path
) -> None:
    container = start(repository=tiny_repository)
    traffic = HardTraffic(container.url, ("tiny", "tiny_bls"))
    traffic.start()
    assert traffic.enough.wait(120)
    # docker stop: SIGTERM, and SIGKILL (137) for what does not end.
    assert container.terminate() == 0
    traffic.stop()

    for model, outcomes in traffic.outcomes.items():
        answers = [each.answer for each in outcomes if each.answer is not None]
        assert len(answers) >= ANSWERS_FIRST
        # Every answer is whole, to the last.
        assert len(set(answers)) == 1
        refused = [each for each in outcomes if each.answer is None]
        assert refused
        turned_away = []
        for each in refused:
            if (said := DOOR.search(each.words)) and each.code in DOOR_CODES:
                # By the model that was called, not by one of its steps.
                assert said["model"] == model, each
                turned_away.append(each.sent)
            else:
                # The endpoint is closing, or nobody listens any more.
                assert each.code in GONE_CODES, each
        assert turned_away, refused
        # A connection that ended took nothing along: what was sent before the door closed was
        # answered, or turned away in words.
        lost = [each.sent for each in refused if each.sent not in turned_away]
        assert not lost or min(lost) > min(turned_away), refused


def test_a_container_without_work_ends_by_itself(
    start: StartContainer, tiny_repository: Path
) -> None:
    container = start(repository=tiny_repository)
    assert container.terminate() == 0
