"""A server that somebody else started: its pipeline, and its process where it can be seen."""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from builder.benchmark.perf_analyzer import Target
from builder.benchmark.processes import SERVER
from builder.benchmark.serving import MeasuredServer
from builder.errors import BenchmarkError
from thin_client import Detector
from thin_client.errors import FramewireError

# Of a line of /proc/net/tcp (proc(5)): the local address, the state, the inode of the socket.
ADDRESS_FIELD, STATE_FIELD, INODE_FIELD, LISTENING = 1, 3, 9, "0A"
# What the kernel keeps of a process's name.
NAME_BYTES = 15


@dataclass(frozen=True)
class RunningPipeline:
    """A pipeline that a server has loaded.

    Attributes:
        server: that has it.
        name: of the pipeline.
        max_batch: images in a request, at most.
        words: what it is.
    """

    server: MeasuredServer
    name: str
    max_batch: int
    words: str


def find_running(url: str, name: str | None, metrics_url: str | None) -> RunningPipeline:
    """Ask a running server for its pipeline.

    Args:
        url: host and port of its gRPC endpoint.
        name: of the pipeline; None where the server has just one.
        metrics_url: of its Prometheus metrics, where perf_analyzer is to read them.

    Raises:
        BenchmarkError: nobody answers, or there is no such pipeline.
    """
    try:
        with Detector(url, name) as client:
            pipeline = client.connect()
    except FramewireError as error:
        raise BenchmarkError(f"{error} (--url, --name)") from error
    return RunningPipeline(
        MeasuredServer(Target(url, metrics_url), listening_triton(url)),
        pipeline.model.removesuffix("_bls"),
        pipeline.max_batch_size,
        f"{pipeline.model} version {pipeline.version or 'unknown'} at {url}, built with Framewire "
        f"{pipeline.builder_version}, "
        f"{pipeline.input_width}x{pipeline.input_height}",
    )


def listening_triton(url: str) -> int | None:
    """Return the process id of the tritonserver on this machine that listens at a gRPC address.

    None where the address is another machine's, or the process is not to be seen: another user's,
    or a container's behind a forwarded port.
    """
    host, _, port = url.rpartition(":")
    if not _is_loopback(host.strip("[]")) or not port.isdigit():
        return None
    sockets = {f"socket:[{inode}]" for at, inode in listening_sockets() if at == int(port)}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "comm").read_text().strip() != SERVER[:NAME_BYTES]:
                continue
            if any(str(file.readlink()) in sockets for file in (process / "fd").iterdir()):
                return int(process.name)
    return None


def _is_loopback(host: str) -> bool:
    try:
        return socket.gethostbyname(host).startswith("127.")
    except OSError:
        return host == "::1"


def listening_sockets() -> list[tuple[int, str]]:
    """Return port and inode of each TCP socket of this machine that listens, by port."""
    found = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        with suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                if fields[STATE_FIELD] == LISTENING:
                    port = int(fields[ADDRESS_FIELD].rpartition(":")[2], 16)
                    found.add((port, fields[INODE_FIELD]))
    return sorted(found)
