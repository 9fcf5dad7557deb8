"""One ModelStreamInfer call: requests go in, answers come out in their order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

__all__ = ["StreamCall"]


class StreamCall:
    """A running call.

    A stream goes through one call because only that keeps its packets in order, on one server.

    Args:
        stub: of KServe's GRPCInferenceService.
        metadata: what goes with the call.
        answered: called in a thread of the call's own with every ``ModelStreamInferResponse``.
        ended: called in that thread when the call is over, for whatever reason.
    """

    def __init__(
        self,
        stub: Any,
        metadata: tuple[tuple[str, str], ...],
        answered: Callable[[StreamCall, Any], None],
        ended: Callable[[], None],
    ) -> None:
        self._requests: SimpleQueue[Any] = SimpleQueue()
        self._answered = answered
        self._ended = ended
        self._over = threading.Event()
        self.error: Exception | None = None
        self._call = stub.ModelStreamInfer(iter(self._requests.get, None), metadata=metadata)
        self._thread = threading.Thread(target=self._receive, name="framewire-answers", daemon=True)
        self._thread.start()

    @property
    def over(self) -> bool:
        """Whether nothing comes any more; ``error`` says why, None after ``close``.

        An ``error`` that is none of gRPC was raised by ``answered``.
        """
        return self._over.is_set()

    def send(self, request: Any) -> None:
        """Send a ``ModelInferRequest``; returns at once."""
        self._requests.put(request)

    def close(self, timeout_s: float) -> None:
        """Say that nothing more will be sent, and wait until the answers are there."""
        self._requests.put(None)
        if not self._over.wait(timeout_s):
            self.cancel()

    def cancel(self) -> None:
        """Break off; answers that are under way are lost."""
        self._call.cancel()
        # gRPC's own thread may wait for a request.
        self._requests.put(None)
        self._thread.join(timeout=1.0)

    def _receive(self) -> None:
        try:
            for response in self._call:
                self._answered(self, response)
        except Exception as error:  # noqa: BLE001 - the thread that sends asks for it
            self.error = error
        finally:
            self._over.set()
            self._ended()
