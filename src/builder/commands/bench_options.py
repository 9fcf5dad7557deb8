"""The options of ``framewire bench``."""

from __future__ import annotations

import argparse
from pathlib import Path

from builder.benchmark.batching_match import batching_match
from builder.benchmark.network_match import network_match
from builder.benchmark.peers_match import peers_match
from builder.benchmark.precision_match import precision_match
from builder.benchmark.rect_match import rect_match
from builder.benchmark.repositories import BASELINES
from builder.benchmark.soak import SHORTEST_MIN, SoakNetwork
from builder.benchmark.stub_match import stub_match
from builder.benchmark.sweep import CONCURRENCIES
from builder.commands.options import add_repository_option, positive

OUT = Path("build/bench")
MATCHES = {
    "stub": stub_match,
    "network": network_match,
    "batching": batching_match,
    "peers": peers_match,
    "precision": precision_match,
    "rect": rect_match,
}


def add_bench_options(parser: argparse.ArgumentParser) -> None:
    """Add them all."""
    parser.add_argument("images", nargs="+", help="JPEGs: files, folders or patterns")
    add_repository_option(parser, "that holds the pipeline")
    parser.add_argument("--name", help="of the pipeline (the only one there is)")
    parser.add_argument("--out", type=Path, default=OUT, help="for the results (%(default)s)")
    parser.add_argument(
        "--rounds", type=positive, default=5, help="of the comparison (%(default)s)"
    )
    parser.add_argument(
        "--window-ms",
        type=positive,
        default=1000,
        help="of perf_analyzer, which takes three for a load (%(default)s)",
    )
    parser.add_argument(
        "--p99-ms",
        type=float,
        default=100.0,
        help="latency bound of the sweet spot (%(default)g)",
    )
    parser.add_argument(
        "--max-concurrency",
        type=positive,
        default=CONCURRENCIES[-1],
        help="of the sweep (%(default)s)",
    )
    parser.add_argument("--both", action="store_true", help="also sweep the BLS variant")
    parser.add_argument("--no-sweep", action="store_true", help="leave the sweep out")
    parser.add_argument("--no-comparison", action="store_true", help="leave the comparison out")
    parser.add_argument(
        "--match",
        choices=tuple(MATCHES),
        action="append",
        help="only this part of the comparison; may be repeated",
    )
    parser.add_argument(
        "--soak",
        type=_minutes,
        metavar="MINUTES",
        help="then keep both variants under full load and watch every process's memory",
    )
    parser.add_argument(
        "--soak-network",
        choices=tuple(each.value for each in SoakNetwork),
        default=SoakNetwork.STUB.value,
        help="a stub, which lets most images through the rest, or the pipeline's (%(default)s)",
    )
    parser.add_argument(
        "--baselines",
        type=Path,
        default=BASELINES,
        help="folder of what it is compared with (%(default)s)",
    )
    parser.add_argument(
        "--url",
        metavar="HOST:PORT",
        help="sweep a server that runs already, by its gRPC endpoint; without the comparison",
    )
    parser.add_argument(
        "--metrics-url",
        metavar="HOST:PORT/metrics",
        help="of that server, for perf_analyzer to read (it does without)",
    )
    parser.add_argument(
        "--gpu",
        action="store_true",
        help="also measure 1920x1080 JPEGs with the network on this machine's GPU: in the server "
        "at --url, or in torch",
    )
    parser.add_argument(
        "--gpu-device",
        default="cuda",
        metavar="DEVICE",
        help="torch's name of the GPU (%(default)s)",
    )
    parser.add_argument("--perf-analyzer", type=Path, metavar="PATH", help="the program itself")
    parser.add_argument(
        "--ultralytics",
        nargs="+",
        type=Path,
        metavar=("PYTHON", "MODEL"),
        help="a Python that has ultralytics, and litserve, and the detector's files, of which the "
        "fastest counts: compared with `predict` in process and behind LitServe",
    )

    parser.add_argument(
        "--labelled",
        nargs="+",
        default=(),
        metavar="IMAGES",
        help="files, folders or patterns, their labels where ultralytics finds them: what "
        "bfloat16 loses of mAP50-95 (extra verify)",
    )


def _minutes(text: str) -> float:
    value = float(text)
    if value != 0 and value < SHORTEST_MIN:
        raise argparse.ArgumentTypeError(f"must be 0 or at least {SHORTEST_MIN}, got {text}")
    return value
