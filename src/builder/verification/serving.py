"""A repository served for as long as it takes to ask it something."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from builder.server import triton_server
from builder.server_options import LOOPBACK, ServerOptions


@contextmanager
def served(repository: Path) -> Iterator[str]:
    """Serve a repository with the embedded Triton on free ports; yields the gRPC address.

    Raises:
        ServerError: it cannot be started, or does not become ready.
    """
    grpc_port, http_port, metrics_port = _free_ports(3)
    options = ServerOptions(
        repository, grpc_port=grpc_port, http_port=http_port, metrics_port=metrics_port
    )
    with triton_server(options) as server:
        server.wait_until_ready()
        yield server.grpc_url


def _free_ports(count: int) -> list[int]:
    """Return ports on loopback that nobody has at the moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [int(each.getsockname()[1]) for each in sockets]
