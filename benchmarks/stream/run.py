"""Ways to send video over links of 2, 4, 20 and 100 Mbit/s: ``make stream-bench``.

Needs root and iproute2: the links are network namespaces with a token bucket at both ends.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from links import SERVER_ADDRESS, Link, LinkUnavailableError, link
from pan import write

from builder.benchmark.repositories import stub_pipeline
from builder.pipelines.manifest import read_manifest

ROOT = Path(__file__).resolve().parents[2]
LINKS_MBIT = (2, 4, 20, 100)
GOAL_MBIT, GOAL_FPS, GOAL_P95_MS = 4, 30, 150
GRPC_PORT, HTTP_PORT, METRICS_PORT = 8001, 8000, 8002
# In a namespace of their own these ports are free whatever else runs.
URL = f"{SERVER_ADDRESS}:{GRPC_PORT}"
READY_S, CELL_S = 120, 180

TENSORS, JPEG, JPEG_ADAPTIVE = "FP32 tensors", "JPEG, every frame, q80", "JPEG, adaptive"
H264, H265, ENCODED = "H.264 of the camera", "H.265 of the camera", "H.264 encoded here"


@dataclass(frozen=True)
class Row:
    """One way on one link."""

    mbit: float
    way: str
    frames_per_s: float
    p50_ms: float
    p95_ms: float
    max_ms: float
    kb_a_frame: float
    mbit_used: float
    dropped: int
    thinned_out: int


@contextmanager
def served(ends: Link, repository: Path) -> Iterator[None]:
    """Serve a repository at the server's end."""
    command = ends.at(
        ends.server,
        *(sys.executable, "-m", "builder.cli", "serve", "--repository", str(repository)),
        *("--address", SERVER_ADDRESS, "--grpc-port", str(GRPC_PORT)),
        *("--http-port", str(HTTP_PORT), "--metrics-port", str(METRICS_PORT)),
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            if server.stdout is None or not server.stdout.readline().startswith("ready: "):
                raise SystemExit("stream-bench: the server did not start; its message is above")
            yield
        finally:
            server.terminate()
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()


def measured(ends: Link, mbit: float, way: str, videos: dict[str, Path], seconds: float) -> Row:
    """Send in one way over one link."""
    ends.shape(mbit * 1e6)
    before = ends.sent_bytes()
    plain = {JPEG: "jpegs", TENSORS: "tensors"}
    if way in plain:
        command = [
            sys.executable,
            str(Path(__file__).parent / "plain_client.py"),
            *(plain[way], URL, str(videos["mjpeg"]), str(seconds)),
        ]
    else:
        source, options = {
            JPEG_ADAPTIVE: ("mjpeg", ["--codec", "jpeg"]),
            H264: ("h264", []),
            H265: ("h265", []),
            ENCODED: ("mjpeg", ["--codec", "h264"]),
        }[way]
        command = [sys.executable, "-m", "thin_client.cli", "stream", str(videos[source])]
        command += ["--url", URL, "--model", "codes", "--json", *options]
    done = subprocess.run(
        ends.at(ends.client, *command), capture_output=True, text=True, timeout=CELL_S, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"stream-bench: {way} at {mbit} Mbit/s failed: {done.stderr.strip()}")
    sys.stderr.write("".join(f"  {line}\n" for line in done.stderr.splitlines() if "link" in line))
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    if way in plain:
        found = lines[-1]
        worst, dropped, thinned_out = found["latency_max_ms"], 0, 0
    else:
        found = lines[-1]["statistics"]
        worst = max(line["latency_ms"] for line in lines[:-1])
        dropped, thinned_out = found["dropped"], found["thinned_out"]
    wire_bytes = ends.sent_bytes() - before
    frames = found["frames"]
    return Row(
        mbit,
        way,
        found["frames_per_s"],
        found["latency_p50_ms"],
        found["latency_p95_ms"],
        worst,
        found.get("bytes_per_frame", found.get("bytes", 0) / max(1, frames)) / 1e3,
        8e-6 * wire_bytes / max(1e-3, frames / found["frames_per_s"]),
        dropped,
        thinned_out,
    )


def table(rows: list[Row]) -> str:
    """Return the rows as Markdown."""
    columns = "frames/s | p50 ms | p95 ms | worst ms | KB a frame | dropped | thinned out |"
    lines = [f"| link | way | {columns}", "|---|---|---:|---:|---:|---:|---:|---:|---:|"]
    lines += [
        f"| {row.mbit:g} Mbit/s | {row.way} | {row.frames_per_s:.1f} | {row.p50_ms:.0f}"
        f" | {row.p95_ms:.0f} | {row.max_ms:.0f} | {row.kb_a_frame:.1f} | {row.dropped} |"
        f" {row.thinned_out} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Print the table and, last, what the goal is about."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ways = (TENSORS, JPEG, JPEG_ADAPTIVE, H264, H265, ENCODED)
    parser.add_argument("--links", type=float, nargs="+", default=LINKS_MBIT, metavar="MBIT")
    parser.add_argument("--ways", nargs="+", default=ways, choices=ways, metavar="WAY")
    parser.add_argument("--seconds", type=float, default=10.0, help="of video (default: 10)")
    arguments = parser.parse_args()
    # A terminated run takes its namespaces away as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with tempfile.TemporaryDirectory() as scratch, link() as ends:
            rows = run(Path(scratch), ends, arguments)
    except LinkUnavailableError as error:
        raise SystemExit(f"stream-bench: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    print(table(rows))
    goal = [row for row in rows if row.mbit == GOAL_MBIT and row.way == H264]
    for row in goal:
        print(
            f"stream: 1080p at {GOAL_MBIT} Mbit/s: {row.frames_per_s:.1f} fps (goal {GOAL_FPS}),"
            f" p95 {row.p95_ms:.0f} ms (goal {GOAL_P95_MS})"
        )


def run(scratch: Path, ends: Link, arguments: argparse.Namespace) -> list[Row]:
    """Make the video and the repository, and measure every way on every link."""
    print("making the video and the repository", file=sys.stderr, flush=True)
    videos = write(sorted((ROOT / "samples").glob("*.jpg")), arguments.seconds, scratch)
    source = ROOT / "model_repository"
    repository = stub_pipeline(
        source, read_manifest(source, "codes"), ROOT / "benchmarks", scratch / "repository"
    )
    tensors = repository / "tensors"
    (tensors / "1").mkdir(parents=True)
    for file in ("config.pbtxt", "1/model.py"):
        (tensors / file).write_bytes((Path(__file__).parent / "tensors" / file).read_bytes())
    rows = []
    with served(ends, repository):
        for mbit in arguments.links:
            for way in arguments.ways:
                rows.append(measured(ends, mbit, way, videos, arguments.seconds))
                row = rows[-1]
                print(
                    f"{mbit:g} Mbit/s, {way}: {row.frames_per_s:.1f} frames/s,"
                    f" p95 {row.p95_ms:.0f} ms, {row.kb_a_frame:.1f} KB a frame",
                    file=sys.stderr,
                    flush=True,
                )
    return rows


if __name__ == "__main__":
    main()
