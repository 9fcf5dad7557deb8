"""``framewire load``."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from pathlib import Path

from builder.commands.options import Commands, add_repository_option
from builder.errors import SettingsError
from builder.pipelines.load_waits import wait_of
from builder.pipelines.manifest import active_version
from builder.pipelines.pipeline_models import all_names, has_streams
from builder.pipelines.publication import mend_repository
from builder.pipelines.servable import check_servable
from builder.pipelines.version_changes import prune
from builder.serving.access import ADMIN_KEY_VARIABLE, GRPC_ADMIN_HEADER
from builder.serving.running_server import load_version, unload_old_versions
from builder.trial.load_wait import LEAST_WAIT_S, TIMES_MEASURED
from thin_client.connection import Connection
from thin_client.errors import InvalidConnection


def add_load(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "load", help="have running servers take the active version and let go of the old one"
    )
    parser.add_argument("name", help="of the pipeline")
    add_repository_option(parser, "that the servers serve")
    parser.add_argument(
        "--url",
        action="append",
        required=True,
        metavar="HOST:PORT",
        help="gRPC endpoint of a server in explicit or poll mode, grpcs://HOST:PORT for TLS; may "
        "be given several times",
    )
    parser.add_argument("--root-certificates", metavar="PEM", help="vouch for the servers")
    parser.add_argument("--private-key", metavar="PEM", help="of this caller, for mutual TLS")
    parser.add_argument("--certificate-chain", metavar="PEM", help="of this caller, likewise")
    parser.add_argument(
        "--timeout",
        dest="timeout_s",
        type=float,
        help=f"seconds for each server ({LEAST_WAIT_S}, or {TIMES_MEASURED} times what loading it "
        "took when it was built)",
    )
    parser.set_defaults(run=run_load)


def run_load(arguments: argparse.Namespace) -> None:
    """Load, wait, prune, and say so."""
    if arguments.timeout_s is not None and not 0 < arguments.timeout_s < math.inf:
        raise SettingsError(
            f"--timeout must be a number of seconds above 0, got {arguments.timeout_s:g}"
        )
    servers = connections(
        arguments.url,
        arguments.root_certificates,
        arguments.private_key,
        arguments.certificate_chain,
    )
    load_everywhere(arguments.repository, arguments.name, servers, arguments.timeout_s)


def connections(
    urls: Sequence[str],
    root_certificates: str | None = None,
    private_key: str | None = None,
    certificate_chain: str | None = None,
) -> list[Connection]:
    """Return the servers at some addresses; the admin key comes from the environment.

    Raises:
        SettingsError: an address or a file cannot be used.
    """
    key = os.environ.get(ADMIN_KEY_VARIABLE)
    try:
        return [
            Connection(
                url,
                root_certificates=root_certificates,
                private_key=private_key,
                certificate_chain=certificate_chain,
                headers={GRPC_ADMIN_HEADER: key} if key else {},
            )
            for url in urls
        ]
    except InvalidConnection as error:
        raise SettingsError(f"--url: {error}") from error


def load_everywhere(
    repository: Path, name: str, servers: Sequence[Connection], timeout_s: float | None = None
) -> None:
    """Have servers take the active version of a pipeline, then let go of the one before.

    Args:
        repository: that they serve.
        name: of the pipeline.
        servers: one after the other.
        timeout_s: seconds for each; as long as the pipeline says when None.
    """
    if not servers:
        return
    mend_repository(repository)
    if name in all_names(repository):
        # Triton may wait for ever for a model that lacks a file.
        check_servable(repository, name)
    timeout_s = wait_of(repository, name) if timeout_s is None else timeout_s
    version, streams = active_version(repository, name), has_streams(repository, name)
    for server in servers:
        load_version(server, name, version, timeout_s, streams=streams)
        print(f"{server.url} serves version {version} of {name}", flush=True)
    # Only now that no server needs it.
    dropped = prune(repository, name, version)
    for server in servers:
        unload_old_versions(server, name, version, timeout_s, streams=streams)
    if dropped:
        print(f"version {', '.join(map(str, dropped))} is no longer loaded")
