"""The report: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from builder.benchmark.comparison import Match
from builder.benchmark.gpu import GpuSample
from builder.benchmark.gpu_match import PartLoad
from builder.benchmark.pipeline_sweep import PipelineSweep
from builder.benchmark.soak import Soak
from builder.benchmark.svg import Line, line_plot
from builder.benchmark.tables import (
    Table,
    advantages_table,
    gpu_table,
    match_table,
    part_load_table,
    soak_table,
    steps_table,
    sweep_table,
    targets_table,
)
from builder.benchmark.targets import Target

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1120px; margin: 2em auto; padding: 0 1em;
  color: #222; }
table { border-collapse: collapse; margin: .5em 0 1.5em; font-variant-numeric: tabular-nums; }
th, td { padding: .2em .7em; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
svg { height: 300px; max-width: 100%; font: 11px system-ui, sans-serif; }
svg .grid { stroke: #ddd; }
pre { background: #f5f5f5; padding: .8em; overflow-x: auto; }
"""


@dataclass(frozen=True)
class Results:
    """All that a run of the benchmark found.

    Attributes:
        pipeline: its name and version, in words.
        machine: facts about the machine, by what they are about.
        images: what was sent, in words.
        sweeps: of its public models.
        matches: of the comparison.
        soak: full load for many minutes, where it was asked for.
        gpus: seen while the network ran on one.
        part_loads: of the server whose network did.
        unmeasured: targets that could not be measured.
    """

    pipeline: str
    machine: Mapping[str, str]
    images: str
    sweeps: Sequence[PipelineSweep]
    matches: Sequence[Match]
    soak: Soak | None = None
    gpus: Sequence[GpuSample] = ()
    part_loads: Sequence[PartLoad] = ()
    unmeasured: Sequence[Target] = ()

    @property
    def targets(self) -> tuple[Target, ...]:
        """All targets, by their number."""
        found = [target for match in self.matches for target in match.targets]
        return tuple(sorted([*found, *self.unmeasured], key=lambda target: target.number))

    @property
    def tables(self) -> tuple[Table, ...]:
        """What is printed."""
        tables = [sweep_table(swept) for swept in self.sweeps]
        tables += [table for match in self.matches if match.rounds for table in match_tables(match)]
        tables += [gpu_table(self.gpus)] if self.gpus else []
        tables += [part_load_table(self.part_loads)] if self.part_loads else []
        tables += [soak_table(self.soak)] if self.soak else []
        return (*tables, *self.target_tables) if self.matches else tuple(tables)

    @property
    def target_tables(self) -> tuple[Table, ...]:
        """The targets, and beside them what is measured likewise."""
        besides = [target for match in self.matches for target in match.besides]
        title = "The same with exact decoding"
        likewise = (targets_table(besides, title),) if besides else ()
        return (targets_table(self.targets), *likewise)


def result_lines(results: Results) -> list[str]:
    """Return the results as text; the last lines are the targets, in the form scripts read."""
    lines = [f"{about}: {fact}" for about, fact in results.machine.items()]
    lines += [f"pipeline: {results.pipeline}", f"images: {results.images}", ""]
    for table in results.tables:
        lines += [*table.lines(), ""]
    lines += soak_lines(results.soak) if results.soak else []
    lines += [remark for match in results.matches for remark in match.remarks]
    lines += [f"{each.title}: {line}" for each in results.sweeps for line in each.sentences]
    return [*lines, *(target.line for target in results.targets)]


def html_report(results: Results) -> str:
    """Return the report as an HTML page."""
    facts = {**results.machine, "pipeline": results.pipeline, "images": results.images}
    machine = Table("Machine", ("", ""), tuple(facts.items()))
    parts = [f"<h1>framewire bench: {escape(results.pipeline)}</h1>", _table(machine)]
    if results.targets:
        parts += [_table(table) for table in results.target_tables]
        parts.append(_lines([target.line for target in results.targets]))
    if results.gpus:
        parts.append(_table(gpu_table(results.gpus)))
    if results.part_loads:
        parts.append(_table(part_load_table(results.part_loads)))
    if results.soak:
        parts += [_table(soak_table(results.soak)), *_soak_plots(results.soak)]
        parts.append(_lines(soak_lines(results.soak)))
    for match in results.matches:
        if not match.rounds:
            continue
        parts += [_table(table) for table in match_tables(match)]
        parts += [_lines(match.remarks)] if match.remarks else []
        parts.append(_rounds_plot(match))
        parts += [_table(steps_table(name, each)) for name, each in match.profiles.items()]
    for swept in results.sweeps:
        parts.append(_table(sweep_table(swept)))
        parts += [_curve_plots(swept), _lines(swept.sentences)]
        busiest = max(swept.profiles, key=lambda each: each.load.concurrency or 0)
        parts.append(_table(steps_table(f"{busiest.load.concurrency} in flight", busiest)))
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f"<title>framewire bench: {escape(results.pipeline)}</title>",
            f"<style>{STYLE}</style></head><body>",
            *parts,
            "</body></html>\n",
        ]
    )


def match_tables(match: Match) -> list[Table]:
    """Return what a match found."""
    return [match_table(match), *([advantages_table(match)] if match.advantages else [])]


def soak_lines(soaked: Soak) -> list[str]:
    """Return how full the load was."""
    return [f"soak, {model}: {rate:.1f} images/s" for model, rate in soaked.images_per_s.items()]


def _table(table: Table) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    head = row(table.head, "th") if any(table.head) else ""
    body = "\n".join(row(cells, "td") for cells in table.rows)
    return f"<h2>{escape(table.title)}</h2>\n<table>{head}\n{body}</table>"


def _lines(lines: Sequence[str]) -> str:
    return f"<pre>{escape(chr(10).join(lines))}</pre>"


def _rounds_plot(match: Match) -> str:
    lines = [
        Line(name, [(number, each.images_per_s) for number, each in enumerate(samples, start=1)])
        for name, samples in match.rounds.items()
    ]
    return line_plot("Throughput in each round", "round", "images/s", lines, log_x=False)


def _curve_plots(swept: PipelineSweep) -> str:
    plots = []
    for what, curve in swept.curves.items():
        throughput = [(float(point.load), point.images_per_s) for point in curve]
        latency = [(float(point.load), point.latency_ms) for point in curve]
        plots += [
            line_plot(f"Throughput by {what}", what, "images/s", [Line("", throughput)]),
            line_plot(f"p99 latency by {what}", what, "ms", [Line("", latency)]),
        ]
    return "\n".join(plots)


def _soak_plots(soaked: Soak) -> list[str]:
    samples = soaked.samples
    memory = [
        Line(process, [(each.seconds / 60, each.memory_mb[process]) for each in samples])
        for process in samples[-1].memory_mb
    ]
    images = [
        Line(
            model,
            [
                (
                    after.seconds / 60,
                    (after.images[model] - before.images[model]) / (after.seconds - before.seconds),
                )
                for before, after in pairwise(samples)
            ],
        )
        for model in soaked.images_per_s
    ]
    return [
        line_plot("Memory of every process", "minutes", "MB", memory, log_x=False),
        line_plot("Throughput meanwhile", "minutes", "images/s", images, log_x=False),
    ]
