"""Whether ports can be had."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping

from builder.errors import PortTakenError

MAX_PORT = 65535


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
