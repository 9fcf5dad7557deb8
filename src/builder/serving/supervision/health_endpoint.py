"""The HTTP endpoint that probes ask: ``/livez``, ``/readyz`` and ``/readyz/NAME``.

Paths and ``/readyz?exclude=NAME`` are those of Kubernetes' own servers.

It holds nothing secret and changes nothing, so it asks nobody who they are. It is on a port of its
own because Triton's endpoints are away while it is started again, and call a model ready whose
processes are dead.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from builder.errors import PortTakenError
from builder.serving.supervision.readiness_board import ReadinessBoard

# A probe sends its one line at once.
PATIENCE_S = 5
# Connections; beyond, the oldest is hung up on: it has had time to say what it wants.
MOST_AT_ONCE = 32
READY_OF_ONE = "/readyz/"


@contextmanager
def health_endpoint(address: str, port: int, board: ReadinessBoard) -> Iterator[None]:
    """Answer probes in threads of their own.

    Args:
        address: IPv4, to listen on.
        port: likewise.
        board: that says what is ready.

    Raises:
        PortTakenError: it cannot be had.
    """
    try:
        server = _Server((address, port), _handler(board))
    except OSError as error:
        raise PortTakenError(
            f"port {port} on {address} cannot be used for health ({error.strerror}): choose "
            "another with --health-port"
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *arguments: Any) -> None:
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.append(request)
            oldest = self._open.pop(0) if len(self._open) > MOST_AT_ONCE else None
        if oldest is not None:
            _hang_up(oldest)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        # All of it: each wait for a byte has an end of its own, and there may be many.
        deadline = threading.Timer(PATIENCE_S, _hang_up, (request,))
        deadline.daemon = True
        deadline.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            deadline.cancel()
            with self._lock, suppress(ValueError):
                self._open.remove(request)

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        """Say nothing: a client that hung up is no news."""

    def server_bind(self) -> None:
        # HTTPServer would ask DNS for a name that nobody needs.
        socket_ = self.socket
        socket_.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        socket_.bind(self.server_address)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]


def _hang_up(request: socket.socket) -> None:
    with suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


def _handler(board: ReadinessBoard) -> type[BaseHTTPRequestHandler]:
    return type("Handler", (_Handler,), {"board": board})


class _Handler(BaseHTTPRequestHandler):
    board: ClassVar[ReadinessBoard]
    timeout = PATIENCE_S
    server_version = "framewire"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer a probe."""
        asked = urlsplit(self.path)
        path = asked.path
        if path == "/livez":
            self._answer(HTTPStatus.OK, {"live": True})
            return
        name = unquote(path[len(READY_OF_ONE) :]) if path.startswith(READY_OF_ONE) else None
        if path != "/readyz" and not name:
            self._answer(HTTPStatus.NOT_FOUND, {"error": "there are /livez and /readyz"})
            return
        told = self.board.answer(name, exclude=parse_qs(asked.query).get("exclude", ()))
        if told is None:
            self._answer(HTTPStatus.NOT_FOUND, {"ready": False, "why": "no such pipeline"})
            return
        ready, body = told
        self._answer(HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE, body)

    do_HEAD = do_GET  # noqa: N815 - what the base class looks for

    def log_message(self, *_: Any) -> None:
        """Say nothing: probes come every few seconds."""

    def _answer(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
