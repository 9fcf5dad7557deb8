"""``framewire gateway``."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

from builder.commands.options import Commands, positive
from builder.errors import GatewayMissingError, SettingsError
from builder.gateway.settings import (
    TOKEN_VARIABLE,
    GatewaySettings,
    Limits,
    token_from_environment,
)
from builder.serving.access import Access
from thin_client.connection import DEFAULT_URL, Connection
from thin_client.errors import InvalidConnection
from thin_client.retry import RetryPolicy

NEEDS = ("starlette", "uvicorn", "websockets")


def add_gateway(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "gateway", help="a WebSocket and a page for browsers, before a pipeline"
    )
    settings, limits = GatewaySettings(), Limits()
    parser.add_argument("--address", default=settings.address, help="to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=int, default=settings.port, help="to listen on, 0 for any (%(default)s)"
    )
    parser.add_argument(
        "--origin",
        action="append",
        default=[],
        metavar="https://HOST",
        help="whose pages may use it besides its own; may be given several times",
    )
    parser.add_argument("--tls-certificate", type=Path, metavar="PEM", help="serve with TLS")
    parser.add_argument("--tls-key", type=Path, metavar="PEM", help="and this private key")
    parser.add_argument(
        "--tls-client-ca",
        type=Path,
        metavar="PEM",
        help="let in only clients with certificates of these authorities (mutual TLS)",
    )
    group = parser.add_argument_group("limits")
    group.add_argument(
        "--in-flight",
        type=positive,
        default=limits.in_flight,
        help="frames of a connection under way; the next waits unread (%(default)s)",
    )
    group.add_argument(
        "--max-message-bytes",
        type=positive,
        default=limits.message_bytes,
        help="of a frame (%(default)s)",
    )
    group.add_argument(
        "--max-frames-per-second",
        type=float,
        default=limits.frames_per_s,
        help="of a connection; faster ones wait unread (%(default)g)",
    )
    group.add_argument(
        "--max-connections",
        type=positive,
        default=limits.connections,
        help="WebSockets at once, and as many requests of HTTP (%(default)s)",
    )
    group.add_argument(
        "--client-connections",
        type=positive,
        default=limits.client_connections,
        help="of one address, WebSockets and requests of HTTP together (%(default)s)",
    )
    group.add_argument(
        "--client-frames-per-second",
        type=float,
        default=limits.client_frames_per_s,
        help="of one address, all its connections together (%(default)g)",
    )
    group.add_argument(
        "--drain-seconds",
        type=float,
        default=limits.drain_s,
        help="for what was accepted, when it is told to stop (%(default)g)",
    )
    _add_upstream_options(parser)
    parser.set_defaults(run=run_gateway_command)


def _add_upstream_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Triton")
    group.add_argument(
        "--url",
        default=DEFAULT_URL,
        help="of its gRPC endpoint (%(default)s)",
    )
    group.add_argument("--model", metavar="NAME", help="pipeline (the server's only one)")
    group.add_argument("--bls", action="store_true", help="call the variant NAME_bls")
    group.add_argument(
        "--client-timeout",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="of a frame, with its retries (%(default)g)",
    )
    group.add_argument(
        "--retries", type=int, default=4, help="when Triton is busy or away (%(default)s)"
    )
    group.add_argument("--ssl", action="store_true", help="use TLS; grpcs://HOST:PORT does too")
    group.add_argument("--root-certificates", metavar="PEM", help="vouch for Triton")
    group.add_argument("--private-key", metavar="PEM", help="of the gateway, for mutual TLS")
    group.add_argument("--certificate-chain", metavar="PEM", help="of the gateway, likewise")
    group.add_argument(
        "--header",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="send this with every call, as a token; may be given several times",
    )


def run_gateway_command(arguments: argparse.Namespace) -> None:
    """Serve until a signal comes."""
    connection, retry = _connection(arguments), _retry(arguments)
    settings = GatewaySettings(
        address=arguments.address,
        port=arguments.port,
        limits=Limits(
            in_flight=arguments.in_flight,
            message_bytes=arguments.max_message_bytes,
            frames_per_s=arguments.max_frames_per_second,
            connections=arguments.max_connections,
            client_connections=arguments.client_connections,
            client_frames_per_s=arguments.client_frames_per_second,
            drain_s=arguments.drain_seconds,
        ),
        token=token_from_environment(),
        origins=tuple(arguments.origin),
        access=Access(arguments.tls_certificate, arguments.tls_key, arguments.tls_client_ca),
    )
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise GatewayMissingError(
            f"framewire gateway needs {' and '.join(missing)}: pip install 'framewire[gateway]'"
        )
    # Here, because whoever does not run it need not have them.
    from builder.gateway.server import run_gateway  # noqa: PLC0415
    from builder.gateway.upstream import Upstream  # noqa: PLC0415

    _warn(settings)
    run_gateway(
        settings,
        lambda: Upstream(
            connection,
            arguments.model,
            bls=arguments.bls,
            timeout_s=arguments.client_timeout,
            retry=retry,
        ),
        lambda line: print(line, flush=True),
    )


def _connection(arguments: argparse.Namespace) -> Connection:
    headers = {}
    for header in arguments.header:
        name, equals, value = header.partition("=")
        if not equals:
            # What was given instead may be a token.
            raise SettingsError("--header must be NAME=VALUE")
        headers[name.lower()] = value
    try:
        return Connection(
            arguments.url,
            ssl=arguments.ssl,
            root_certificates=arguments.root_certificates,
            private_key=arguments.private_key,
            certificate_chain=arguments.certificate_chain,
            headers=headers,
        )
    except InvalidConnection as error:
        raise SettingsError(str(error)) from error


def _retry(arguments: argparse.Namespace) -> RetryPolicy:
    if arguments.retries < 0:
        raise SettingsError(f"--retries must be at least 0, got {arguments.retries}")
    if not 0 < arguments.client_timeout < float("inf"):
        raise SettingsError(f"--client-timeout must be above 0, got {arguments.client_timeout:g}")
    return RetryPolicy(attempts=arguments.retries + 1)


def _warn(settings: GatewaySettings) -> None:
    if settings.on_loopback:
        return
    if settings.token is None:
        _tell(
            f"warning: whoever reaches {settings.address}:{settings.port} can use the pipeline: "
            f"set a token in {TOKEN_VARIABLE}"
        )
    if not settings.access.secure:
        _tell(
            "warning: frames and tokens go in the clear, and browsers give their camera only to "
            "pages with TLS: give --tls-certificate and --tls-key"
        )


def _tell(sentence: str) -> None:
    print(f"framewire: {sentence}", file=sys.stderr, flush=True)
