"""Connections of TCP on which no request comes are closed: they hold a file for nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

# Long enough for a slow link to bring the first line and the headers.
REQUEST_PATIENCE_S = 10.0


class ImpatientProtocol(H11Protocol):
    """uvicorn's, which by itself waits for ever for the first request of a connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._waiting = self.loop.call_later(REQUEST_PATIENCE_S, self._close_silent)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._waiting.cancel()
        super().connection_lost(exc)

    def _close_silent(self) -> None:
        request: Any = self.scope
        if request is None and not self.transport.is_closing():
            self.transport.close()
