"""What a supervisor tells others about the pipelines."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from typing import Any


class ReadinessBoard:
    """Which pipelines are ready, and why others are not; written by one thread, read by many.

    Args:
        pipelines: names of those that are to be.
    """

    def __init__(self, pipelines: Iterable[str]) -> None:
        self._lock = threading.Lock()
        self._reasons: dict[str, str | None] = dict.fromkeys(pipelines, "Triton is starting")
        # Of the whole server.
        self._reason: str | None = "Triton is starting"

    def tell(self, reasons: Mapping[str, str | None]) -> None:
        """Say for each pipeline why it is not ready, None where it is."""
        with self._lock:
            self._reasons = dict(reasons)
            self._reason = None

    def tell_all(self, reason: str) -> None:
        """Say why nothing is ready."""
        with self._lock:
            self._reason = reason

    def answer(
        self, name: str | None = None, *, exclude: Collection[str] = ()
    ) -> tuple[bool, dict[str, Any]] | None:
        """Return whether all pipelines, or the one named, are ready, and that as JSON.

        Args:
            name: of one.
            exclude: names of those that may be away.

        Returns:
            None where there is no pipeline of that name.
        """
        with self._lock:
            reasons = {each: self._reason or why for each, why in self._reasons.items()}
            whole = self._reason
        if name is not None:
            if name not in reasons:
                return None
            reasons, whole = {name: reasons[name]}, None
        wanted = {each: why for each, why in reasons.items() if each not in exclude}
        ready = whole is None and not any(wanted.values())
        told: dict[str, Any] = {
            "ready": ready,
            "pipelines": {each: why is None for each, why in reasons.items()},
        }
        if not ready:
            sentences = (f"{each}: {why}" for each, why in wanted.items() if why)
            told["why"] = whole or "; ".join(sentences)
        return ready, told
