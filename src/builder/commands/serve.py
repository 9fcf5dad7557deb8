"""``framewire serve``."""

from __future__ import annotations

import argparse
import os
import secrets
from dataclasses import replace
from pathlib import Path

from builder.commands.options import (
    Commands,
    add_port_options,
    add_repository_option,
    server_options,
)
from builder.errors import SettingsError
from builder.serving.access import ADMIN_KEY_VARIABLE, GRPC_ADMIN_HEADER, Access
from builder.serving.foreground import serve
from builder.serving.repository_paths import check_paths
from builder.serving.server_options import ModelControl, ServerOptions
from builder.serving.supervision.healing_limit import MOST_HEALINGS
from builder.serving.supervision.supervisor import HEALTH_PORT, Supervision
from builder.serving.tracing import Tracing


def add_serve(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("serve", help="run Triton in the foreground")
    add_serve_options(parser)
    parser.set_defaults(run=run_serve)


def add_serve_options(parser: argparse.ArgumentParser) -> None:
    """Add what there is to say about serving."""
    add_repository_option(parser, "to serve")
    parser.add_argument(
        "--address", default=ServerOptions.address, help="IPv4 address to listen on (%(default)s)"
    )
    add_port_options(parser)
    parser.add_argument(
        "--control",
        type=ModelControl,
        default=ModelControl.EXPLICIT,
        metavar="|".join(each.value for each in ModelControl),
        help="how it learns of new versions: not at all, by looking, or by `framewire load`; with "
        "the last it answers what it has accepted before it stops "
        f"({ModelControl.EXPLICIT.value})",
    )
    parser.add_argument(
        "--poll-seconds",
        dest="poll_s",
        type=int,
        default=ServerOptions.poll_s,
        help="between two looks with --control poll (%(default)s)",
    )
    parser.add_argument(
        "--triton", type=Path, metavar="PATH", help="`tritonserver` to run (the embedded one)"
    )
    _add_access_options(parser)
    _add_supervision_options(parser)
    _add_tracing_options(parser)
    parser.add_argument("--verbose", action="store_true", help="show all of Triton's log")


def _add_access_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("access")
    group.add_argument(
        "--tls-certificate", type=Path, metavar="PEM", help="serve gRPC with TLS, with this chain"
    )
    group.add_argument("--tls-key", type=Path, metavar="PEM", help="and this private key")
    group.add_argument(
        "--tls-client-ca",
        type=Path,
        metavar="PEM",
        help="let in only clients with certificates of these authorities (mutual TLS)",
    )
    group.add_argument(
        "--restrict",
        action="store_true",
        help="answer calls that load models, share memory, trace, set the log or read statistics "
        f"only with the admin key (gRPC metadata {GRPC_ADMIN_HEADER}); it is what the variable "
        f"{ADMIN_KEY_VARIABLE} holds, else nobody's",
    )


def _add_supervision_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("supervision")
    group.add_argument(
        "--no-supervise",
        action="store_true",
        help="end when Triton or the process of a model dies, and notice nothing else: for those "
        "who have somebody to look after it",
    )
    group.add_argument(
        "--health-port",
        type=int,
        metavar="PORT",
        help=f"of HTTP /livez, /readyz and /readyz/NAME, for probes ({HEALTH_PORT})",
    )
    group.add_argument(
        "--max-restarts",
        type=int,
        metavar="N",
        help=f"of a Triton that broke, within ten minutes; then it ends ({MOST_HEALINGS})",
    )


def _add_tracing_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("tracing")
    group.add_argument(
        "--trace-to",
        metavar="URL",
        help="OpenTelemetry collector (OTLP over HTTP), as http://localhost:4318/v1/traces",
    )
    group.add_argument(
        "--trace-rate",
        type=int,
        metavar="N",
        help=f"trace one request in N ({Tracing.rate})",
    )


def run_serve(arguments: argparse.Namespace) -> None:
    """Serve a repository until a signal comes."""
    options, watched = serve_options(arguments), supervision(arguments)
    check_paths(options.repository)
    serve(options, watched)


def supervision(arguments: argparse.Namespace) -> Supervision | None:
    """Return how the server is to be watched, None where it is not.

    Raises:
        SettingsError: it is not, and an option says how.
    """
    given = {
        "--health-port": arguments.health_port,
        "--max-restarts": arguments.max_restarts,
    }
    if arguments.no_supervise:
        if useless := [option for option, value in given.items() if value is not None]:
            raise SettingsError(
                f"{useless[0]} does nothing with --no-supervise: leave out one of the two"
            )
        return None
    return Supervision(
        HEALTH_PORT if arguments.health_port is None else arguments.health_port,
        MOST_HEALINGS if arguments.max_restarts is None else arguments.max_restarts,
    )


def serve_options(arguments: argparse.Namespace) -> ServerOptions:
    """Return what the options of :func:`add_serve_options` say.

    Raises:
        SettingsError: they contradict each other, or a file cannot be used.
    """
    return replace(
        server_options(arguments),
        address=arguments.address,
        verbose=arguments.verbose,
        control=arguments.control,
        poll_s=arguments.poll_s,
        access=_access(arguments),
        tracing=_tracing(arguments),
        triton=arguments.triton,
        # The others are served.
        exit_on_error=False,
    )


def _access(arguments: argparse.Namespace) -> Access:
    key = None
    if arguments.restrict:
        # What nobody knows opens nothing, except to this process itself.
        key = os.environ.get(ADMIN_KEY_VARIABLE) or secrets.token_hex(32)
    return Access(arguments.tls_certificate, arguments.tls_key, arguments.tls_client_ca, key)


def _tracing(arguments: argparse.Namespace) -> Tracing | None:
    if arguments.trace_to is None:
        if arguments.trace_rate is not None:
            raise SettingsError("--trace-rate does nothing without --trace-to: give both")
        return None
    return Tracing(
        arguments.trace_to, Tracing.rate if arguments.trace_rate is None else arguments.trace_rate
    )
