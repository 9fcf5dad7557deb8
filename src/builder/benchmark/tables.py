"""The results as tables: printed as text, and HTML in the report."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from builder.benchmark.comparison import Match
from builder.benchmark.gpu import GpuSample, gpu_rows
from builder.benchmark.gpu_match import PartLoad
from builder.benchmark.pipeline_sweep import PipelineSweep
from builder.benchmark.processes import SERVER
from builder.benchmark.sample import Ratio
from builder.benchmark.serving import Profile
from builder.benchmark.soak import Soak
from builder.benchmark.targets import Target


@dataclass(frozen=True)
class Table:
    """A title, a head and rows of as many cells."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def lines(self) -> list[str]:
        """Return the table as text, the first column to the left and the others to the right."""
        widths = [max(map(len, column)) for column in zip(self.head, *self.rows, strict=True)]
        text = [self.title]
        for row in (self.head, *self.rows):
            first, *others = (
                cell.ljust(width) if number == 0 else cell.rjust(width)
                for number, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            text.append("  ".join(["", first, *others]).rstrip())
        return text


def match_table(match: Match) -> Table:
    """Return throughput, latency and CPU time of every contestant: median and spread."""
    rows = []
    for name, samples in match.rounds.items():
        costs = [sample.cpu_ms for sample in samples if sample.cpu_ms is not None]
        rows.append(
            (
                name,
                _spread([sample.images_per_s for sample in samples]),
                _spread([sample.p50_ms for sample in samples]),
                _spread(costs) if costs else "-",
            )
        )
    head = ("", "images/s", "p50 ms", "CPU ms/image")
    return Table(match.title, head, tuple(rows))


def advantages_table(match: Match) -> Table:
    """Return what ours has over each of the others: median and spread of the rounds' ratios."""
    rows = tuple(
        (each.words, _ratio(each.throughput), _ratio(each.cpu)) for each in match.advantages
    )
    return Table("Ours over theirs", ("", "images/s", "CPU time an image, theirs over ours"), rows)


def sweep_table(swept: PipelineSweep) -> Table:
    """Return every point of a sweep, with where its time went."""
    head = (
        "load",
        "images/s",
        "p50",
        "p90",
        "p95",
        "p99",
        "client",
        "network",
        "queue",
        "held",
        "compute",
        "CPU/image",
        "network batch",
    )
    rows = []
    for profile in swept.profiles:
        found = profile.measured
        times = (found.p50_ms, found.p90_ms, found.p95_ms, found.p99_ms)
        # perf_analyzer takes what was held back for work of the step that held it.
        compute_ms = max(0.0, found.compute_ms - profile.held_ms)
        parts = (found.client_ms, found.network_ms, found.queue_ms, profile.held_ms, compute_ms)
        rows.append(
            (
                _load_words(profile),
                f"{found.images_per_s:.1f}",
                *(f"{value:.1f}" for value in times),
                *(f"{value:.2f}" for value in parts),
                "-" if profile.server_cpu_ms is None else f"{profile.server_cpu_ms:.2f}",
                f"{_network_batch(profile):.1f}",
            )
        )
    title = f"Sweep of {swept.title}, times in ms; held: until the network had room for the frame"
    return Table(title, head, tuple(rows))


def steps_table(title: str, profile: Profile) -> Table:
    """Return what each model of a server did under one load, and what its process cost."""
    head = (
        "model",
        "images",
        "batch",
        "request",
        "queue",
        "input",
        "held",
        "infer",
        "output",
        "CPU/image",
        "batches",
    )
    rows = []
    for work in profile.work:
        if not work.images:
            continue
        times = (
            work.total_ms,
            work.queue_ms,
            work.compute_input_ms,
            work.held_ms,
            work.compute_infer_ms,
            work.compute_output_ms,
        )
        cpu_ms = profile.cpu_ms.get(work.model)
        rows.append(
            (
                work.model,
                str(work.images),
                f"{work.mean_batch:.1f}",
                *(f"{value:.2f}" for value in times),
                "-" if cpu_ms is None else f"{cpu_ms:.2f}",
                " ".join(f"{size}:{count}" for size, count in work.batches) or "-",
            )
        )
    if SERVER in profile.cpu_ms:
        server = f"{profile.cpu_ms[SERVER]:.2f}"
        rows.append((SERVER, *("-" for _ in head[2:-1]), server, "-"))
    return Table(f"{title}: the models, times in ms", head, tuple(rows))


def soak_table(soaked: Soak) -> Table:
    """Return what became of the memory of every process."""
    head = ("", "MB after 10 %", "MB at the end", "growth %", "MB/hour", "highest MB")
    rows = tuple(
        (
            each.process,
            f"{each.settled_mb:.1f}",
            f"{each.end_mb:.1f}",
            f"{each.percent:.1f}",
            f"{each.slope_mb_per_h:.1f}",
            f"{each.highest_mb:.1f}",
        )
        for each in soaked.growth
    )
    return Table(soaked.title, head, rows)


def gpu_table(samples: Sequence[GpuSample]) -> Table:
    """Return how busy and how full each GPU of this machine was."""
    head = ("", "busy %", "highest", "highest MiB used", "of MiB", "W")
    return Table("GPUs in the rounds, as nvidia-smi sees them", head, gpu_rows(samples))


def part_load_table(part_loads: Sequence[PartLoad]) -> Table:
    """Return how soon a server answers that is asked less than it can answer."""
    head = ("", "images/s", "p50 ms", "p95 ms", "CPU ms/image", "GPU busy %")
    rows = tuple(
        (
            f"{each.variant} at {each.share:.0%}",
            f"{each.found.measured.images_per_s:.0f}",
            f"{each.found.measured.p50_ms:.1f}",
            f"{each.found.measured.p95_ms:.1f}",
            f"{each.found.server_cpu_ms:.2f}",
            ", ".join(row[1] for row in gpu_rows(each.gpus)),
        )
        for each in part_loads
    )
    return Table("Below capacity, at a steady rate", head, rows)


def targets_table(targets: Sequence[Target], title: str = "Targets") -> Table:
    """Return the targets in words."""
    rows = []
    for target in targets:
        goal = f"at {'most' if target.at_most else 'least'} {target.goal:g}"
        digits = 0 if target.absolute else 4 if target.goal < 0.1 else 2
        found = f"{target.found.median:.{digits}f}" if target.found else "-"
        reached = {True: "yes", False: "no", None: "-"}[target.reached]
        rows.append((f"{target.number}  {target.meaning}", goal, found, reached))
    return Table(title, ("", "goal", "median", "reached"), tuple(rows))


def _load_words(profile: Profile) -> str:
    load = profile.load
    sent = (
        f"{load.concurrency} in flight" if load.rate is None else f"{load.rate:g} requests/s begun"
    )
    batch = f"batch {load.batch}, " if load.batch > 1 else ""
    return batch + sent + (", shared memory" if load.shared_memory else "")


def _network_batch(profile: Profile) -> float:
    sizes = [work.mean_batch for work in profile.work if work.model.endswith("_network")]
    return max(sizes, default=0.0)


def _ratio(found: Ratio) -> str:
    return f"{found.median:.2f} ({found.low:.2f} to {found.high:.2f})"


def _spread(values: Sequence[float]) -> str:
    middle = f"{statistics.median(values):.1f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.1f} to {max(values):.1f})"
