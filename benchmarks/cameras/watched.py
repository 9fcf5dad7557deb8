"""Clients that watch cameras for a while, and what came of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np

from builder.benchmark.processes import cpu_seconds, process_cpu_seconds
from builder.benchmark.proportional_memory import triton_of
from builder.benchmark.served_tree import ServedTree

FPS = 30
# Until links were measured and tracks begun.
WARM_S = 6.0
# Clients that lost a source say so and try again; this long is given to the first answers.
STARTING_S = 60.0
WANTED = "framewire_looks_wanted_seconds_total"
USED = "framewire_looks_wanted_busy_seconds_total"
ENCODED = re.compile(r"encoded here")


@dataclass
class Answers:
    """Of one camera.

    Attributes:
        timestamps_us: of the frames, in the order in which they were answered.
        latencies_ms: from when the source gave the frame to its boxes.
        looked_at: whether the network saw the frame.
    """

    timestamps_us: list[int] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    looked_at: list[bool] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """Frames between the first and the last answered that have no answer."""
        stamps = np.array(sorted(set(self.timestamps_us)), np.int64)
        if len(stamps) < 2:
            return 0
        return round((stamps[-1] - stamps[0]) * FPS / 1e6) + 1 - len(stamps)

    @property
    def reordered(self) -> int:
        """Answers that came behind that of a later frame, or twice."""
        return int(np.count_nonzero(np.diff(np.array(self.timestamps_us, np.int64)) <= 0))


@dataclass(frozen=True)
class Watched:
    """What came of some cameras in a way to watch them.

    Attributes:
        seconds: that were measured.
        answers: of each camera.
        encoded: plans of a client to encode a camera's video again.
        cpu_s: of each process, by name.
        busy: share of the time in which frames waited, in which the network had some; None where
            the server does not say it.
    """

    seconds: float
    answers: Sequence[Answers]
    encoded: int
    cpu_s: Mapping[str, float]
    busy: float | None

    @property
    def answered_s(self) -> float:
        """Frames answered in a second, of all cameras."""
        return sum(len(each.timestamps_us) for each in self.answers) / self.seconds

    @property
    def p95_ms(self) -> float:
        """From packet to boxes, of all cameras."""
        found = [latency for each in self.answers for latency in each.latencies_ms]
        return float(np.percentile(found, 95)) if found else float("inf")

    @property
    def looks_s(self) -> list[float]:
        """Looks a second of each camera."""
        return [sum(each.looked_at) / self.seconds for each in self.answers]

    @property
    def faults(self) -> int:
        """Packets lost or reordered, and plans to encode again."""
        return self.encoded + sum(each.lost + each.reordered for each in self.answers)


class _Client:
    """A ``framewire-client stream`` whose lines are kept with when they came."""

    def __init__(self, command: Sequence[str], tree: Path | None, log: Path) -> None:
        environment = dict(os.environ)
        if tree is not None:
            environment["PYTHONPATH"] = os.pathsep.join((str(tree / "src"), str(tree)))
        self._log = log
        with log.open("wb") as said:
            self.process = subprocess.Popen(
                command, env=environment, cwd=tree, stdout=subprocess.PIPE, stderr=said
            )
        self.lines: list[tuple[float, bytes]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None  # noqa: S101 - a pipe
        for line in self.process.stdout:
            self.lines.append((time.monotonic(), line))

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def end(self) -> None:
        # Not SIGINT, which is ignored where the bench runs in the background.
        self.process.terminate()
        try:
            self.process.wait(20)
        finally:
            self.process.kill()
            self._reader.join(5)


def watch(
    urls: Sequence[str],
    server: ServedTree,
    *,
    tree: Path | None,
    seconds: float,
    scratch: Path,
    options: Sequence[str],
) -> Watched:
    """Have clients watch cameras for some seconds.

    Args:
        urls: of the cameras.
        server: that looks at their frames.
        tree: sources of an earlier build, whose client takes one camera each; None for this one's,
            whose one process takes all.
        seconds: to measure, after some to get going.
        scratch: a folder for what they say.
        options: of the client besides.
    """
    client = [sys.executable, "-m", "thin_client.cli", "stream", "--json"]
    client += ["--url", server.target.grpc_url, *options]
    groups = [[url] for url in urls] if tree else [[f"c{n}={url}" for n, url in enumerate(urls)]]
    with ExitStack() as stack:
        clients = []
        for number, group in enumerate(groups):
            each = _Client([*client, *group], tree, scratch / f"client_{number}.log")
            stack.callback(each.end)
            clients.append(each)
        _wait_for_all(clients, len(urls))
        time.sleep(WARM_S)
        begun, cpu, metrics = time.monotonic(), _cpu(server, clients), _metrics(server)
        time.sleep(seconds)
        ended, cpu_after, metrics_after = time.monotonic(), _cpu(server, clients), _metrics(server)
    answers: dict[str, Answers] = {}
    for number, each in enumerate(clients):
        for when, line in each.lines:
            if begun <= when < ended:
                _count(answers, number, json.loads(line))
    wanted = metrics_after.get(WANTED, 0.0) - metrics.get(WANTED, 0.0)
    used = metrics_after.get(USED, 0.0) - metrics.get(USED, 0.0)
    # A camera that got no answer at all counts too.
    found = [*answers.values(), *[Answers()] * (len(urls) - len(answers))]
    return Watched(
        ended - begun,
        found,
        sum(len(ENCODED.findall(each.said())) for each in clients),
        {name: cpu_after[name] - cpu.get(name, 0.0) for name in cpu_after},
        used / wanted if wanted else None,
    )


def _wait_for_all(clients: Sequence[_Client], cameras: int) -> None:
    """Wait until every camera has an answer, or for as long as that may take."""
    until = time.monotonic() + STARTING_S
    while time.monotonic() < until:
        seen: dict[str, Answers] = {}
        for number, each in enumerate(clients):
            for _, line in list(each.lines):
                _count(seen, number, json.loads(line))
        if len(seen) == cameras:
            return
        time.sleep(0.5)


def _count(answers: dict[str, Answers], number: int, line: dict[str, Any]) -> None:
    if "latency_ms" not in line:
        return
    mine = answers.setdefault(line.get("source", str(number)), Answers())
    mine.timestamps_us.append(line["timestamp_us"])
    mine.latencies_ms.append(line["latency_ms"])
    mine.looked_at.append(line.get("looked_at", True))


def _cpu(server: ServedTree, clients: Sequence[_Client]) -> dict[str, float]:
    found = cpu_seconds(triton_of(server.pid))
    found["clients"] = sum(process_cpu_seconds(each.process.pid) for each in clients)
    return found


def _metrics(server: ServedTree) -> dict[str, float]:
    with urlopen(f"http://{server.target.metrics_url}", timeout=10) as answer:
        text = answer.read().decode()
    found: dict[str, float] = {}
    for name, value in re.findall(r"^(\w+)(?:\{[^}]*\})? (\S+)$", text, re.MULTILINE):
        if name in (WANTED, USED):
            found[name] = found.get(name, 0.0) + float(value)
    return found


@contextmanager
def cameras(file: Path, codec: str, count: int) -> Iterator[list[str]]:
    """Serve a file as so many cameras, in a process of their own; yield their addresses."""
    command = [sys.executable, str(Path(__file__).with_name("serve.py")), str(file), codec]
    with subprocess.Popen(
        [*command, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101 - pipes
        try:
            yield [process.stdout.readline().strip() for _ in range(count)]
        finally:
            process.kill()
