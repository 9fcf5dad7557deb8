"""How the gateway serves, checked before anything listens."""

from __future__ import annotations

import ipaddress
import math
import os
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from builder.errors import SettingsError
from builder.serving.access import Access

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 8080
# Of which browsers say nothing.
DEFAULT_PORTS = {"http": 80, "https": 443}

TOKEN_VARIABLE = "FRAMEWIRE_GATEWAY_TOKEN"  # noqa: S105 - the name of a variable
# What the name of a WebSocket subprotocol may hold, in which browsers carry the token (RFC 6455,
# 4.1, and the token of RFC 9110, 5.6.2).
TOKEN = re.compile(r"[A-Za-z0-9._~+-]{16,256}")


@dataclass(frozen=True)
class Limits:
    """What one client may ask of the gateway.

    Attributes:
        in_flight: frames of one connection that are under way; its next is not read before one of
            them is answered.
        message_bytes: of one message or one body.
        frames_per_s: of one connection; faster ones are read more slowly.
        connections: WebSockets at once, and as many requests of HTTP.
        client_connections: of one address, WebSockets and requests of HTTP together.
        client_frames_per_s: of one address, all its connections together.
        drain_s: time for what was accepted when the gateway is told to stop.

    Raises:
        SettingsError: on creation, when a limit is not above zero.
    """

    in_flight: int = 4
    message_bytes: int = 8 * 2**20
    frames_per_s: float = 60.0
    connections: int = 64
    client_connections: int = 16
    client_frames_per_s: float = 240.0
    drain_s: float = 30.0

    def __post_init__(self) -> None:
        """Check the values."""
        for option, value in (
            ("--in-flight", self.in_flight),
            ("--max-message-bytes", self.message_bytes),
            ("--max-frames-per-second", self.frames_per_s),
            ("--max-connections", self.connections),
            ("--client-connections", self.client_connections),
            ("--client-frames-per-second", self.client_frames_per_s),
            ("--drain-seconds", self.drain_s),
        ):
            if not 0 < value < math.inf:
                raise SettingsError(f"{option} must be above 0, got {value:g}")


@dataclass(frozen=True)
class GatewaySettings:
    """Where the gateway listens and whom it lets in.

    Attributes:
        address: to listen on.
        port: likewise.
        limits: what one client may ask.
        token: that every request for detections must carry; None lets everybody in.
        origins: besides the gateway's own, origins whose pages may use it, as
            ``https://example.org``.
        access: certificate and key for TLS, and authorities of clients.

    Raises:
        SettingsError: on creation, when the port, the token or an origin cannot be used.
    """

    address: str = LOOPBACK
    port: int = DEFAULT_PORT
    limits: Limits = field(default_factory=Limits)
    token: str | None = field(default=None, repr=False)
    origins: tuple[str, ...] = ()
    access: Access = field(default_factory=Access)

    def __post_init__(self) -> None:
        """Check what would otherwise fail late, or let in whom it should not."""
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"--port must be from 0 to 65535, got {self.port}")
        if self.token is not None and not TOKEN.fullmatch(self.token):
            raise SettingsError(
                f"the token in {TOKEN_VARIABLE} must be 16 to 256 letters, digits or '._~+-', got "
                f"{len(self.token)} characters: make one with `openssl rand -hex 32`"
            )
        for origin in self.origins:
            if origin != (sent := _as_sent(origin)):
                hint = f"; browsers send {sent}" if sent else ""
                raise SettingsError(
                    "--origin must be a scheme and a host as browsers send them, like "
                    f"https://example.org, got {origin!r}{hint}"
                )

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.address)

    @property
    def scheme(self) -> str:
        """``https`` with TLS, else ``http``."""
        return "https" if self.access.secure else "http"


def _as_sent(origin: str) -> str | None:
    """Return an origin as browsers send it; None where it is none.

    They compare to the letter: https://html.spec.whatwg.org/#ascii-serialisation-of-an-origin.
    """
    try:
        parts = urlsplit(origin)
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
    except ValueError:
        return None
    if parts.scheme not in DEFAULT_PORTS or not host:
        return None
    shown = f"[{host}]" if ":" in host else host
    suffix = "" if port in {None, DEFAULT_PORTS[parts.scheme]} else f":{port}"
    return f"{parts.scheme}://{shown}{suffix}"


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine's loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def token_from_environment() -> str | None:
    """Return the token that clients must carry; None where the variable is not set or empty."""
    return os.environ.get(TOKEN_VARIABLE) or None
