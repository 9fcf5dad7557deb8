"""Many cameras on a network that is slower than they are: ``make cameras-bench``.

Cameras of 1080p, 30 frames a second, H.264 and H.265, in real time over RTSP on this machine, which
also serves the demo pipeline with its own network: looks as the network has room (``auto``) and
tracks between, against the client and the server of an earlier build as they come. Prints tables
and targets c1 to c6; see docs/streaming.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from video import ENCODERS, write
from watched import Watched, cameras, watch

from builder.benchmark.earlier_build import COMMIT, unpack_earlier_build
from builder.benchmark.sample import Ratio
from builder.benchmark.served_tree import served_tree
from builder.benchmark.targets import Target
from builder.errors import BenchmarkError

ROOT = Path(__file__).parents[2]
COUNTS = (1, 2, 4, 6, 8)
# Of the targets.
CAMERAS, CODEC = 6, "h264"
LOOKS, EVERY = 5.0, 30.0
LATENCY_MS = 250.0
TODAY, EARLIER = "auto", f"client and server of {COMMIT}"
TARGETS = (
    ("c1", "packets answered a second, over the earlier build", 8.0, False),
    ("c2", "p95 of packet to boxes, ms", LATENCY_MS, True),
    ("c3", "packets lost, reordered or encoded again", 0.0, True),
    ("c4", "looks a second, the camera with the fewest over that with the most", 0.8, False),
    ("c5", "network busy while frames wait, share of the time", 0.9, False),
    ("c6", f"IDF1 with {LOOKS:g} looks a second over that with every frame", 0.95, False),
)
Found = dict[tuple[str, str, int], Watched]


def measure(arguments: argparse.Namespace, scratch: Path) -> tuple[Found, str]:
    """Return what each way did with each number of cameras; and why one was not measured."""
    found: Found = {}
    tree, why_not = scratch / "earlier", ""
    try:
        unpack_earlier_build(ROOT, tree)
    except BenchmarkError as error:
        why_not = str(error)
    ways: list[tuple[str, Path | None, Path, list[str]]] = [
        (TODAY, None, ROOT / "model_repository", ["--detect-fps", "auto"])
    ]
    if not why_not:
        ways.append((EARLIER, tree, tree / "model_repository", []))
    pictures = sorted((ROOT / "samples").glob("*.jpg"))
    for codec in arguments.codecs:
        video = scratch / f"{codec}.mp4"
        write(codec, pictures, video)
        for name, way_tree, repository, options in ways:
            log = scratch / f"server_{codec}_{len(found)}.log"
            with served_tree(way_tree, repository, log) as server:
                for count in arguments.cameras:
                    print(f"cameras: {count} of {codec}, {name}", file=sys.stderr, flush=True)
                    with cameras(video, codec, count) as urls:
                        found[codec, name, count] = watch(
                            urls,
                            server,
                            tree=way_tree,
                            seconds=arguments.seconds,
                            scratch=scratch,
                            options=options,
                        )
    return found, why_not


def table(found: Found) -> str:
    """Return the figures as Markdown."""
    head = ("cameras", "way", "answered/s", "p95 ms", "lost, reordered", "encoded again")
    head += ("looks/s of each", "network busy", "CPU: server", "network", "clients")
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "---:|" * (len(head) - 2)]
    for (codec, way, count), each in found.items():
        cpu = {name: seconds / each.seconds for name, seconds in each.cpu_s.items()}
        network = sum(share for name, share in cpu.items() if name.endswith("_network"))
        clients = cpu.pop("clients")
        looks = each.looks_s
        cells = (
            f"{count} {codec}",
            way,
            f"{each.answered_s:.0f}",
            f"{each.p95_ms:.0f}",
            f"{each.faults - each.encoded}",
            f"{each.encoded}",
            f"{min(looks):.1f} to {max(looks):.1f}",
            "-" if each.busy is None else f"{each.busy:.2f}",
            f"{sum(cpu.values()) - network:.2f}",
            f"{network:.2f}",
            f"{clients:.2f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def targets(found: Found, why_not: str, c6: float | None, why_not_c6: str) -> list[Target]:
    """Return c1 to c6."""
    today = found.get((CODEC, TODAY, CAMERAS))
    earlier = found.get((CODEC, EARLIER, CAMERAS))
    not_asked = f"{CAMERAS} cameras of {CODEC} were not among --cameras and --codecs"
    values: dict[str, float | None] = dict.fromkeys(("c1", "c2", "c3", "c4", "c5"))
    if today is not None:
        looks = today.looks_s
        values |= {
            "c1": today.answered_s / earlier.answered_s if earlier else None,
            "c2": today.p95_ms,
            "c3": float(today.faults),
            "c4": min(looks) / max(looks) if max(looks) else 0.0,
            "c5": today.busy,
        }
    reasons = dict.fromkeys(values, not_asked) | {"c1": why_not or not_asked, "c6": why_not_c6}
    values["c6"] = c6
    return [
        Target(
            number,
            meaning,
            goal,
            at_most,
            None if (value := values[number]) is None else Ratio(value, value, value, 1),
            reasons[number],
        )
        for number, meaning, goal, at_most in TARGETS
    ]


def identities(out: Path) -> tuple[float | None, str]:
    """Return IDF1 with few looks over that with all, by ``benchmarks/tracking``."""
    command = [sys.executable, str(ROOT / "benchmarks" / "tracking" / "run.py"), "--out", str(out)]
    path = os.pathsep.join((str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")))
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": path, "ORT_DISABLE_TELEMETRY": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return None, (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
    print(done.stdout)
    results = {
        each["looks"]: each["idf1"] for each in json.loads((out / "tracking.json").read_text())
    }
    return results[LOOKS] / results[EVERY], ""


def most_cameras(found: Found, codec: str) -> int:
    """Return the most cameras of those measured that hold c2 and c3, counting from the fewest."""
    most = 0
    for (of, way, count), each in sorted(found.items(), key=lambda item: item[0][2]):
        if of == codec and way == TODAY:
            if each.p95_ms > LATENCY_MS or each.faults:
                break
            most = count
    return most


def main() -> None:
    """Print tables and targets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cameras", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--codecs", nargs="+", default=list(ENCODERS), choices=list(ENCODERS))
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="that are measured (default: 30)"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "cameras")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="framewire-cameras-") as scratch:
        found, why_not = measure(arguments, Path(scratch))
    print(table(found))
    print()
    c6, why_not_c6 = identities(arguments.out)
    for codec in arguments.codecs:
        print(f"most cameras of {codec} that hold c2 and c3: {most_cameras(found, codec)}")
    for target in targets(found, why_not, c6, why_not_c6):
        print(target.line)


if __name__ == "__main__":
    main()
