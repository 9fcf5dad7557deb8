"""A link of so many bits per second between two network namespaces, made with tc's token bucket."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

PREFIX = "framewire-link"
SERVER_ADDRESS, CLIENT_ADDRESS = "10.250.77.1", "10.250.77.2"
# What a router lets through at once, and what it queues before it drops.
BURST_BYTES, QUEUE_MS = 16_384, 1000


class LinkUnavailableError(Exception):
    """Links cannot be made here."""


@dataclass(frozen=True)
class Link:
    """Two ends of a link; programs are run at either.

    Attributes:
        server: namespace of the server, whose address is SERVER_ADDRESS.
        client: of the client.
    """

    server: str
    client: str

    def at(self, end: str, *command: str) -> list[str]:
        """Return the command line that runs a command at one end."""
        return ["ip", "netns", "exec", end, *command]

    def shape(self, bits_per_s: float) -> None:
        """Set the rate, in both directions."""
        for end in (self.server, self.client):
            _run(
                *("ip", "netns", "exec", end, "tc", "qdisc", "replace", "dev", "wire", "root"),
                *("tbf", "rate", f"{round(bits_per_s)}bit"),
                *("burst", str(max(BURST_BYTES, round(bits_per_s / 8 / 100)))),
                *("latency", f"{QUEUE_MS}ms"),
            )

    def sent_bytes(self) -> int:
        """Return the bytes that the client's end has sent, headers and all."""
        text = _run("ip", "netns", "exec", self.client, "tc", "-s", "qdisc", "show", "dev", "wire")
        match = re.search(r"Sent (\d+) bytes", text)
        return int(match[1]) if match else 0


@contextmanager
def link() -> Iterator[Link]:
    """Make two namespaces and a link between them; take them away whatever happens.

    Raises:
        LinkUnavailableError: not root, or a program is missing.
    """
    for program in ("ip", "tc"):
        if shutil.which(program) is None:
            raise LinkUnavailableError(
                f"links are made with {program}, which is not installed: apt-get install iproute2"
            )
    if os.geteuid() != 0:
        raise LinkUnavailableError(
            "links are made of network namespaces, which only root may: run it as root"
        )
    _remove_left_behind()
    ends = Link(f"{PREFIX}-{os.getpid()}-server", f"{PREFIX}-{os.getpid()}-client")
    with ExitStack() as stack:
        for end in (ends.server, ends.client):
            # Before it is there: a signal may come while it is being made.
            stack.callback(_remove, end)
            _run("ip", "netns", "add", end)
        _run(
            *("ip", "-n", ends.server, "link", "add", "wire", "type", "veth"),
            *("peer", "name", "wire", "netns", ends.client),
        )
        for end, address in ((ends.server, SERVER_ADDRESS), (ends.client, CLIENT_ADDRESS)):
            _run("ip", "-n", end, "address", "add", f"{address}/24", "dev", "wire")
            for device in ("lo", "wire"):
                _run("ip", "-n", end, "link", "set", device, "up")
        yield ends


def _remove_left_behind() -> None:
    """Remove what a run that was killed could not."""
    for name in re.findall(rf"^{PREFIX}-\d+-\w+", _run("ip", "netns", "list"), re.MULTILINE):
        pid = int(name.split("-")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            _remove(name)


def _remove(namespace: str) -> None:
    with suppress(LinkUnavailableError):
        _run("ip", "netns", "delete", namespace)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LinkUnavailableError(f"'{' '.join(command)}' failed: {done.stderr.strip()}")
    return done.stdout
