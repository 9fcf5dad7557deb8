"""Traffic on a pipeline while its versions change."""

from __future__ import annotations

import threading
from collections import Counter
from types import TracebackType

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput

Answer = tuple[bytes, ...]


class Traffic:
    """Threads that send one image over and over, without retrying, and keep what came back.

    Attributes:
        answers: how often a version of a model gave an answer.
        errors: what failed, in words.
    """

    def __init__(self, url: str, image: bytes, models: tuple[str, ...], threads_each: int) -> None:
        self.answers: Counter[tuple[str, int, Answer]] = Counter()
        self.errors: list[str] = []
        self._url, self._image = url, image
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._send, args=(model,))
            for model in models
            for _ in range(threads_each)
        ]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def versions(self, model: str) -> set[int]:
        """The versions of a model that have answered so far."""
        with self._lock:
            return {version for name, version, _ in self.answers if name == model}

    def _send(self, model: str) -> None:
        with InferenceServerClient(self._url) as client:
            while not self._stop.is_set():
                try:
                    version, answer = ask(client, model, self._image)
                except Exception as error:  # noqa: BLE001 - whatever it is, a request was lost
                    with self._lock:
                        self.errors.append(f"{model}: {error}")
                else:
                    with self._lock:
                        self.answers[model, version, answer] += 1


def ask(client: InferenceServerClient, model: str, image: bytes) -> tuple[int, Answer]:
    """Return which version answered, and its answer to the bit."""
    tensor = InferInput("image", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[image]], dtype=object))
    result = client.infer(model, [tensor], client_timeout=60)
    response = result.get_response()
    outputs = sorted(output.name for output in response.outputs)
    return int(response.model_version), tuple(result.as_numpy(name).tobytes() for name in outputs)
