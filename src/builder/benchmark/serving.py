"""A server for as long as it is measured, and everything measured about one load at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder.benchmark.held_time import held_seconds
from builder.benchmark.load import Load, Measurement
from builder.benchmark.perf_analyzer import PerfAnalyzer, Target
from builder.benchmark.processes import cpu_ms_per_image, cpu_seconds
from builder.benchmark.server_work import ModelWork, server_statistics, work_between
from builder.errors import BenchmarkError
from builder.serving.ports import free_ports
from builder.serving.server import triton_server
from builder.serving.server_options import LOOPBACK, ServerOptions


@dataclass(frozen=True)
class MeasuredServer:
    """A running server.

    Attributes:
        target: its addresses.
        pid: of ``tritonserver``; None where its processes are not to be seen.
    """

    target: Target
    pid: int | None


@dataclass(frozen=True)
class Profile:
    """One load: what the client saw, what the models did and what it cost.

    Attributes:
        load: what was sent.
        measured: by perf_analyzer, in its windows.
        work: of every model, from the first request to the last.
        cpu_ms: user and system time of each process for an image, likewise; of none where they are
            not to be seen.
    """

    load: Load
    measured: Measurement
    work: tuple[ModelWork, ...]
    cpu_ms: dict[str, float]

    @property
    def held_ms(self) -> float:
        """Mean time that a request was held back until the network had room; 0 if not known."""
        return sum(each.held_ms for each in self.work)

    @property
    def server_cpu_ms(self) -> float | None:
        """CPU time of an image in all processes of the server, or None where it is not known."""
        return sum(self.cpu_ms.values()) if self.cpu_ms else None


@contextmanager
def measured_server(repository: Path, *, tuned: bool = True) -> Iterator[MeasuredServer]:
    """Serve a repository on free ports of the loopback.

    Args:
        repository: to serve.
        tuned: whether with the environment that ``framewire serve`` sets.

    Raises:
        ServerError: it cannot be started.
    """
    grpc_port, http_port, metrics_port = free_ports(3)
    options = ServerOptions(
        repository,
        grpc_port=grpc_port,
        http_port=http_port,
        metrics_port=metrics_port,
        tuned=tuned,
    )
    with triton_server(options) as server:
        server.wait_until_ready()
        target = Target(server.grpc_url, f"{LOOPBACK}:{metrics_port}/metrics")
        yield MeasuredServer(target, server.pid)


def profile(
    analyzer: PerfAnalyzer,
    server: MeasuredServer,
    load: Load,
    data_file: Path,
    csv_file: Path,
    *,
    window_ms: int,
) -> Profile:
    """Put a load on a server and look at everything before and after.

    Raises:
        BenchmarkError: the load generator or the server failed.
    """
    target, held_before = server.target, held_seconds(server.target.metrics_url)
    statistics, seconds = server_statistics(target.grpc_url), _cpu_seconds(server)
    measured = analyzer.measure(target, load, data_file, csv_file, window_ms=window_ms)
    after = server_statistics(target.grpc_url)
    held = held_seconds(target.metrics_url)
    held_s = {model: held[model] - held_before.get(model, 0.0) for model in held}
    work = work_between(statistics, after, held_s)
    images = sum(each.images for each in work if each.model == load.model)
    if failures := sum(each.failures for each in work if each.model == load.model):
        raise BenchmarkError(
            f"{failures} requests to {load.model} failed while it was measured: send it one with "
            "`framewire-client image` to see why"
        )
    return Profile(load, measured, work, cpu_ms_per_image(seconds, _cpu_seconds(server), images))


def _cpu_seconds(server: MeasuredServer) -> dict[str, float]:
    return {} if server.pid is None else cpu_seconds(server.pid)
