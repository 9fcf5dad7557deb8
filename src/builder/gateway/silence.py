"""Connections of TCP on which no request comes are closed: they hold a file for nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

# Long enough for a slow link to bring the first line and the headers.
REQUEST_PATIENCE_S = 10.0


class ImpatientProtocol(H11Protocol):
    """uvicorn's, which by itself waits for ever for a request that does not come or not end."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._await_request_after(self.scope)

    def on_response_complete(self) -> None:
        """Begin to wait for the next request, of which the first byte ends uvicorn's patience."""
        self._waiting.cancel()
        answered = self.scope
        super().on_response_complete()
        self._await_request_after(answered)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._waiting.cancel()
        super().connection_lost(exc)

    def _await_request_after(self, scope: Any) -> None:
        self._waiting = self.loop.call_later(REQUEST_PATIENCE_S, self._close_silent, scope)

    def _close_silent(self, scope: Any) -> None:
        # Each request has a scope of its own, once its headers are there.
        if self.scope is scope and not self.transport.is_closing():
            self.transport.close()
