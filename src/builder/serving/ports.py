"""Whether ports can be had, and which are free."""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Mapping
from contextlib import suppress

from builder.errors import PortTakenError

MAX_PORT = 65535
# Below those that Linux gives to outgoing connections (net.ipv4.ip_local_port_range), of which one
# could take a port between its choice and the start of what is to listen on it.
FREE_PORTS = range(10_000, 32_768)
_LOOPBACK = "127.0.0.1"
_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Return ports that nobody has on the loopback, each once only in the life of this process.

    Raises:
        PortTakenError: there are not as many.
    """
    chosen: list[int] = []
    for port in random.SystemRandom().sample(FREE_PORTS, len(FREE_PORTS)):
        if len(chosen) == count:
            break
        if port not in _given and _is_free(port):
            chosen.append(port)
    if len(chosen) < count:
        raise PortTakenError(
            f"of the ports {FREE_PORTS.start} to {FREE_PORTS.stop - 1} only {len(chosen)} are "
            f"free, and {count} are needed"
        )
    _given.update(chosen)
    return chosen


def _is_free(port: int) -> bool:
    with suppress(OSError), socket.socket() as probe:
        probe.bind((_LOOPBACK, port))
        return True
    return False


def check_free(address: str, ports: Mapping[str, int]) -> None:
    """Check that ports differ and that nobody has them.

    Args:
        address: on which they are to be listened to.
        ports: by what they serve, after which their options are called.

    Raises:
        PortTakenError: naming the port and the option that chooses another.
    """
    if not address:
        raise PortTakenError("--address is empty: give an IPv4 --address of this machine")
    if len(set(ports.values())) != len(ports):
        names = [f"--{purpose}-port" for purpose in ports]
        raise PortTakenError(
            f"the ports {dict(ports)} must differ: choose others with {', '.join(names[:-1])} and "
            f"{names[-1]}"
        )
    for purpose, port in ports.items():
        if not 1 <= port <= MAX_PORT:
            raise PortTakenError(f"--{purpose}-port must be from 1 to {MAX_PORT}, got {port}")
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # As servers do: a connection that is still closing does not count as taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                way_out = f"choose another with --{purpose}-port"
                if error.errno == errno.EADDRINUSE:
                    way_out = f"stop the program that has it, or {way_out}"
                else:
                    way_out += ", or an IPv4 --address of this machine"
                raise PortTakenError(
                    f"port {port} on {address} cannot be used for {purpose} ({error.strerror}): "
                    f"{way_out}"
                ) from error
