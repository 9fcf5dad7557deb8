"""How to reach the server: address, TLS, keepalive, load balancing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thin_client.errors import InvalidConnection
from thin_client.redaction import shown_address

__all__ = ["DEFAULT_URL", "Connection"]

DEFAULT_URL = "localhost:8001"

GRPC_PORT = 8001

# Spreads requests over every address the name resolves to; without it gRPC pins a client to one
# server for as long as the connection lives.
_SERVICE_CONFIG: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
_RESOLVER_SCHEMES = ("dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:", "xds:")
_HEADER_NAME = re.compile(r"[a-z0-9_.-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_LOOPBACK = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?")


@dataclass(frozen=True)
class Connection:
    """Address and transport options of a Triton server's gRPC endpoint.

    Attributes:
        url: ``host:port``, ``grpc://host:port``, ``grpcs://host:port`` (TLS), or a gRPC target:
            ``dns:///host:port`` uses every address behind the name,
            ``ipv4:10.0.0.1:8001,10.0.0.2:8001`` the ones listed, ``unix:/path`` a socket.
            Requests go round robin over all of them. A plain host gets Triton's gRPC port, 8001.
        ssl: use TLS; implied by ``grpcs://``.
        root_certificates: PEM file that vouches for the server; gRPC's own list when None.
        private_key: PEM file with this client's key, for mutual TLS.
        certificate_chain: PEM file with this client's certificates, for mutual TLS.
        keepalive_time_s: silence on a connection in use after which it is probed. Servers refuse
            clients that probe much: Triton allows one probe per 5 minutes of silence and forgives
            two strikes (its options ``--grpc-http2-min-recv-ping-interval-without-data`` and
            ``--grpc-http2-max-ping-strikes``), so lower this only together with those.
        keepalive_timeout_s: how long a probe, or data that was sent, may stay unacknowledged
            before the connection counts as dead.
        keepalive_without_calls: probe idle connections too; the server must allow it.
        headers: gRPC metadata that goes with every call: a token that a proxy wants, or the admin
            key of a restricted server (``triton-grpc-protocol-framewire-admin``). Not shown by
            ``repr``.

    Raises:
        InvalidConnection: the address cannot be a gRPC address, a TLS file cannot be read, TLS
            files are given without TLS, or a header cannot be sent.
    """

    url: str = DEFAULT_URL
    ssl: bool = False
    root_certificates: str | Path | None = None
    private_key: str | Path | None = None
    certificate_chain: str | Path | None = None
    keepalive_time_s: float = 60.0
    keepalive_timeout_s: float = 10.0
    keepalive_without_calls: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)

    def __post_init__(self) -> None:
        """Check what can be checked without a network."""
        _target(self.url)
        files = {
            "root certificates": self.root_certificates,
            "private key": self.private_key,
            "certificate chain": self.certificate_chain,
        }
        given = [name for name, path in files.items() if path is not None]
        if given and not self.secure:
            raise InvalidConnection(
                f"the {given[0]} would be ignored without TLS; add ssl (--ssl) or leave it out"
            )
        if (self.private_key is None) != (self.certificate_chain is None):
            raise InvalidConnection(
                "a private key and a certificate chain belong together; give both or neither"
            )
        for name, path in files.items():
            if path is not None:
                _read(name, path)
        for header, value in self.headers.items():
            if not _HEADER_NAME.fullmatch(header) or header.startswith("grpc-"):
                raise InvalidConnection(
                    f"{header!r} cannot be the name of a header: use lower-case letters, digits,"
                    " '-', '_' and '.', and nothing that begins with grpc-"
                )
            if header.endswith("-bin") or not _HEADER_VALUE.fullmatch(value):
                raise InvalidConnection(
                    f"the header {header} must be text of printable ASCII characters"
                )

    @property
    def secure(self) -> bool:
        """Return whether the connection uses TLS."""
        return self.ssl or self.url.startswith("grpcs://")

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the headers as gRPC takes them."""
        return tuple(self.headers.items())

    @property
    def target(self) -> str:
        """Return the address as gRPC's name resolver takes it."""
        return _target(self.url)

    def channel_options(self) -> list[tuple[str, int | str]]:
        """Return gRPC channel arguments.

        See https://grpc.github.io/grpc/core/group__grpc__arg__keys.html for what each means.
        """
        options: list[tuple[str, int | str]] = [
            # An image or a batch may be larger than gRPC's default limit of 4 MB.
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.keepalive_time_ms", round(self.keepalive_time_s * 1000)),
            ("grpc.keepalive_timeout_ms", round(self.keepalive_timeout_s * 1000)),
            ("grpc.keepalive_permit_without_calls", int(self.keepalive_without_calls)),
            # gRPC waits 1 s before it dials a second time; a server that restarts is back sooner.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 5000),
            # Two detectors get two connections, and one never inherits the other's backoff.
            ("grpc.use_local_subchannel_pool", 1),
        ]
        addresses = re.sub(r"^ipv[46]:", "", self.target).split(",")
        on_loopback = all(_LOOPBACK.fullmatch(address) for address in addresses)
        if on_loopback:
            # gRPC obeys http_proxy, and a proxy cannot reach this machine's loopback.
            options.append(("grpc.enable_http_proxy", 0))
        if not on_loopback or len(addresses) > 1:
            # Not for the loopback by itself: localhost has two addresses, and the one where nobody
            # listens would hide what went wrong on the other.
            options.append(("grpc.service_config", json.dumps(_SERVICE_CONFIG)))
        return options

    def credentials(self) -> Any:
        """Return ``grpc.ChannelCredentials``, or None without TLS."""
        if not self.secure:
            return None
        # Here, so that reading a command line does not load gRPC.
        import grpc  # noqa: PLC0415

        return grpc.ssl_channel_credentials(
            root_certificates=_read("root certificates", self.root_certificates),
            private_key=_read("private key", self.private_key),
            certificate_chain=_read("certificate chain", self.certificate_chain),
        )


def _target(url: str) -> str:
    if url.startswith(("http://", "https://")):
        raise InvalidConnection(
            f"{url} is an HTTP address and this client speaks gRPC; give host:port of Triton's"
            f" gRPC endpoint, by default port {GRPC_PORT}"
        )
    target = re.sub(r"^grpcs?://", "", url).rstrip("/")
    if "@" in target and not target.startswith("unix"):
        raise InvalidConnection(
            f"{shown_address(url)} names a user, and addresses of gRPC have none; give host:port,"
            " and a token as a header (headers, --header)"
        )
    if target.startswith(_RESOLVER_SCHEMES):
        return target
    if "," in target:
        raise InvalidConnection(
            f"{url} lists several addresses; write ipv4:{target} for IP addresses, or"
            f" dns:///name:port for a name that resolves to all of them"
        )
    if not re.fullmatch(r"(\[[0-9a-fA-F:.%\w]+\]|[\w.-]+)(:\d{1,5})?", target):
        raise InvalidConnection(
            f"{shown_address(url)!r} is not an address; give host:port, for example {DEFAULT_URL}"
        )
    return target if re.search(r":\d+$", target) else f"{target}:{GRPC_PORT}"


def _read(name: str, path: str | Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidConnection(f"cannot read the {name} {path}: {error.strerror}") from None
