"""``framewire doctor``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from builder.commands.load import connections
from builder.commands.options import Commands, add_port_options
from builder.doctor.case import Case
from builder.doctor.examination import examine
from builder.doctor.report import as_json, report
from builder.doctor.server import RunningTriton
from builder.errors import CheckError, SettingsError
from builder.serving.server_options import LOOPBACK, REPOSITORY
from builder.serving.supervision.supervisor import HEALTH_PORT

WATCH_S = 2.0
LONGEST_S = 3600.0
PORTS = ("grpc", "http", "metrics", "health")


def add_doctor(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("doctor", help="what is wrong or slow here, and what mends it")
    parser.add_argument(
        "--repository",
        type=Path,
        help=f"to look at (that of a server on this machine, else {REPOSITORY})",
    )
    parser.add_argument(
        "--url",
        metavar="HOST:PORT",
        help="gRPC endpoint of a server to look at, grpcs://HOST:PORT for TLS (the one on this "
        "machine's --grpc-port, if one answers)",
    )
    parser.add_argument("--root-certificates", metavar="PEM", help="vouch for the server")
    parser.add_argument("--private-key", metavar="PEM", help="of this caller, for mutual TLS")
    parser.add_argument("--certificate-chain", metavar="PEM", help="of this caller, likewise")
    parser.add_argument(
        "--watch-seconds",
        dest="watch_s",
        type=float,
        default=WATCH_S,
        help="to watch machine and server (%(default)g); longer finds slow things more surely",
    )
    parser.add_argument(
        "--triton", type=Path, metavar="PATH", help="an installed `tritonserver` to look at"
    )
    parser.add_argument("--json", action="store_true", help="one object for programs")
    add_port_options(parser)
    parser.add_argument(
        "--health-port", type=int, default=HEALTH_PORT, help="of the supervisor (%(default)s)"
    )
    parser.set_defaults(run=run_doctor)


def run_doctor(arguments: argparse.Namespace) -> None:
    """Examine, and print what was looked at and found.

    Raises:
        CheckError: something is wrong or slow; it has been printed.
    """
    if not 0 < arguments.watch_s <= LONGEST_S:
        raise SettingsError(
            f"--watch-seconds must be above 0 and at most {LONGEST_S:g}, got {arguments.watch_s:g}"
        )
    examination = examine(_case(arguments))
    if arguments.json:
        print(json.dumps(as_json(examination), indent=1))
    else:
        # A terminal of another encoding gets question marks, never an error.
        encoding = sys.stdout.encoding or "utf-8"
        print(report(examination).encode(encoding, "replace").decode(encoding))
    if not examination.healthy:
        count = sum(each.severity.value != "hint" for each in examination.findings)
        was = "1 thing is" if count == 1 else f"{count} things are"
        raise CheckError(f"{was} wrong or slow, listed above")


def _case(arguments: argparse.Namespace) -> Case:
    url = arguments.url or f"{LOOPBACK}:{arguments.grpc_port}"
    (connection,) = connections(
        [url], arguments.root_certificates, arguments.private_key, arguments.certificate_chain
    )
    server = RunningTriton(connection)
    silent = server.answers()
    # One that is there and says nothing hangs, or wants TLS.
    there = not silent or server.pid is not None
    asked = arguments.url is not None or there
    return Case(
        repository=_repository(arguments.repository, server if asked else None),
        server=server if asked else None,
        silent=silent if asked else None,
        ports={}
        if arguments.url
        else {purpose: getattr(arguments, f"{purpose}_port") for purpose in PORTS},
        triton=arguments.triton,
        watch_s=arguments.watch_s,
    )


def _repository(named: Path | None, asked: RunningTriton | None) -> Path | None:
    """Return the repository that is meant, if there is one to look at."""
    if named is not None:
        return named
    if asked is not None and asked.repository is not None:
        return asked.repository
    # A server elsewhere can do without one here.
    return REPOSITORY if asked is None or REPOSITORY.is_dir() else None
