"""Running the gateway until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
import ssl
from collections.abc import Callable, Iterator

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from builder.errors import PortTakenError
from builder.gateway.app import make_app
from builder.gateway.gateway import Gateway
from builder.gateway.settings import GatewaySettings
from builder.gateway.silence import ImpatientProtocol
from builder.gateway.upstream import Upstream
from thin_client.errors import FramewireError

PING_INTERVAL_S = 20.0
# A client's answer to a ping lies behind its frames, and those wait while all places are taken.
PING_GRACE_S = 20.0
# For clients to answer the close; what they had sent already is read meanwhile, because a socket
# closed with unread data in it takes our last answers with it.
CLOSE_PATIENCE_S = 3.0


class _Server(uvicorn.Server):
    """uvicorn without its own signals: it would close every WebSocket at once."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def run_gateway(
    settings: GatewaySettings,
    make_upstream: Callable[[], Upstream],
    say: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or Ctrl-C; what was accepted is answered first, a second signal ends it.

    Args:
        settings: where to listen and whom to let in.
        make_upstream: called in the event loop, to which the connection then belongs.
        say: is given one line when it listens.

    Raises:
        PortTakenError: it cannot listen there.
    """
    with _listening_socket(settings) as listening:
        asyncio.run(_serve(settings, make_upstream, listening, say))


async def _serve(
    settings: GatewaySettings,
    make_upstream: Callable[[], Upstream],
    listening: socket.socket,
    say: Callable[[str], None],
) -> None:
    upstream = make_upstream()
    gateway = Gateway(settings, upstream)
    server = _Server(_config(settings, gateway))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            server.should_exit = server.force_exit = True
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    stopping = asyncio.create_task(stop.wait())
    try:
        await _tell_ready(settings, upstream, listening, say)
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        draining = asyncio.create_task(_drain(gateway, server))
        await asyncio.wait((serving, draining), return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await serving
    finally:
        await upstream.close()


async def _drain(gateway: Gateway, server: uvicorn.Server) -> None:
    await gateway.drain()
    deadline = asyncio.get_running_loop().time() + CLOSE_PATIENCE_S
    while asyncio.get_running_loop().time() < deadline and any(
        isinstance(each, WebSocketsSansIOProtocol) for each in server.server_state.connections
    ):
        await asyncio.sleep(0.02)


async def _tell_ready(
    settings: GatewaySettings,
    upstream: Upstream,
    listening: socket.socket,
    say: Callable[[str], None],
) -> None:
    try:
        await upstream.check_ready()
        pipeline = (await upstream.pipeline()).model
    except FramewireError as error:
        # Triton may come later, and the page says so meanwhile.
        upstream.observe(error)
        pipeline = upstream.model or "its pipeline"
    port = listening.getsockname()[1]
    say(
        f"ready: {settings.scheme}://{settings.address}:{port}/ for {pipeline} at "
        f"{upstream.connection.url}"
    )


def _config(settings: GatewaySettings, gateway: Gateway) -> uvicorn.Config:
    access = settings.access
    return uvicorn.Config(
        make_app(gateway),
        http=ImpatientProtocol,
        ws="websockets-sansio",
        ws_max_size=settings.limits.message_bytes,
        ws_ping_interval=PING_INTERVAL_S,
        ws_ping_timeout=gateway.upstream.timeout_s + PING_GRACE_S,
        # Frames are compressed already.
        ws_per_message_deflate=False,
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=1,
        ssl_certfile=str(access.certificate) if access.certificate else None,
        ssl_keyfile=str(access.key) if access.key else None,
        ssl_ca_certs=str(access.client_ca) if access.client_ca else None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if access.client_ca else ssl.CERT_NONE,
    )


def _listening_socket(settings: GatewaySettings) -> socket.socket:
    try:
        return socket.create_server(
            (settings.address, settings.port),
            family=socket.AF_INET6 if ":" in settings.address else socket.AF_INET,
            backlog=settings.limits.connections + 64,
        )
    except OSError as error:
        way_out = "choose another with --port"
        if error.errno == errno.EADDRINUSE:
            way_out = f"stop the program that has it, or {way_out}"
        else:
            way_out += ", or an --address of this machine"
        raise PortTakenError(
            f"port {settings.port} on {settings.address} cannot be used "
            f"({error.strerror}): {way_out}"
        ) from error
