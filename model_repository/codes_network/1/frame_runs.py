"""The frames of several requests, run on all cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from runtime import Network

    # Whether nobody waits for a request any more.
    IsAbandoned = Callable[[], bool]


class FrameRuns:
    """Runs frames: many with a core for each, those that are left over with all cores for each.

    Args:
        network: that runs them.
        cores: that it may keep busy.
    """

    def __init__(self, network: Network, cores: int) -> None:
        self._network = network
        self._cores = cores
        self._threads = ThreadPoolExecutor(cores, thread_name_prefix="network")

    def run(
        self, requests: Sequence[NDArray[np.uint8]], abandoned: Sequence[IsAbandoned]
    ) -> list[NDArray[np.float32] | Exception | None]:
        """Run the frames of requests.

        Args:
            requests: uint8 ``[n, height, width, 3]`` each.
            abandoned: of each, asked when its first frame is to be run.

        Returns:
            For each request float32 ``[n, K, 6]``, or why there is none, or None where nobody waits
            for it any more.
        """
        work = [
            _Request(frames, is_abandoned)
            for frames, is_abandoned in zip(requests, abandoned, strict=True)
        ]
        frames = [(request, index) for request in work for index in range(len(request.frames))]
        apart = self._apart(len(frames))
        if apart:
            shared = iter(frames[:apart])
            wait([self._threads.submit(self._run, shared) for _ in range(min(self._cores, apart))])
        for request, index in frames[apart:]:
            request.run(self._network, index, alone=True)
        return [request.outcome() for request in work]

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=True)

    def _apart(self, frames: int) -> int:
        """Return how many frames get a core each; the others get all cores, one after the other."""
        left = frames % self._cores
        return frames - left if left < self._network.gain else frames

    def _run(self, frames: Iterator[tuple[_Request, int]]) -> None:
        # Taken from without a lock: CPython makes each step whole.
        for request, index in frames:
            request.run(self._network, index, alone=False)


class _Request:
    """The frames of one request, and what became of them."""

    def __init__(self, frames: NDArray[np.uint8], is_abandoned: IsAbandoned) -> None:
        self.frames = frames
        self._is_abandoned = is_abandoned
        self._candidates: list[NDArray[np.float32] | None] = [None] * len(frames)
        self._error: Exception | None = None
        self._abandoned = False

    def run(self, network: Network, index: int, *, alone: bool) -> None:
        """Run one frame, unless that is in vain."""
        try:
            if index == 0:
                self._abandoned = self._is_abandoned()
            if not self._abandoned and self._error is None:
                self._candidates[index] = network.infer(self.frames[index : index + 1], alone=alone)
        except Exception as error:  # noqa: BLE001 - the fault of one request must not cost others
            self._error = error

    def outcome(self) -> NDArray[np.float32] | Exception | None:
        """Return what :meth:`FrameRuns.run` returns for a request."""
        if self._error is not None or self._abandoned:
            return self._error
        parts = [part for part in self._candidates if part is not None]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
