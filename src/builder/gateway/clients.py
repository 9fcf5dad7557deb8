"""Who has how much of the gateway: connections and frames a second of each address.

So that one that floods it leaves room for the others. Addresses, because the token is the same for
everybody; behind a proxy all have the proxy's, and it is the proxy that must tell them apart.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from builder.gateway.pacing import Pace
from builder.gateway.settings import Limits

# A household or a company has all the addresses of such a network.
IPV6_NETWORK_BITS = 64


@dataclass
class Client:
    """What one address has at the moment.

    Attributes:
        pace: of all its frames together.
        open: WebSockets and requests of HTTP.
    """

    pace: Pace
    open: int = 0


class TooManyConnections(Exception):  # noqa: N818 - named by its diagnosis, like the client's
    """An address has as many connections as one may have."""


class Clients:
    """The addresses that are connected, or were until just now.

    Args:
        limits: what one of them may ask.
        clock: seconds, monotonic.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._clients: dict[str, Client] = {}

    def __len__(self) -> int:
        """Return how many addresses are remembered."""
        return len(self._clients)

    @contextmanager
    def entering(self, address: str) -> Iterator[Client]:
        """Count a connection of an address for as long as it lasts.

        Raises:
            TooManyConnections: it has as many as it may have.
        """
        self._forget_idle()
        client = self._clients.setdefault(_key(address), self._new())
        if client.open >= self._limits.client_connections:
            raise TooManyConnections
        client.open += 1
        try:
            yield client
        finally:
            client.open -= 1

    def _new(self) -> Client:
        limits = self._limits
        # What all its connections together may have under way may come at once.
        burst = limits.client_connections * limits.in_flight
        return Client(Pace(limits.client_frames_per_s, burst, self._clock))

    def _forget_idle(self) -> None:
        # Not at once: who comes again at once must not find a fresh pace.
        idle = [key for key, each in self._clients.items() if not each.open and each.pace.rested]
        for key in idle:
            del self._clients[key]


def _key(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if ip.version == 4:
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((int(ip), IPV6_NETWORK_BITS), strict=False))
