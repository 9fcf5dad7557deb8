"""Reading the CSV files that perf_analyzer writes with ``-f`` and ``--verbose-csv``."""

from __future__ import annotations

import csv
from pathlib import Path

from builder.benchmark.load import Measurement
from builder.errors import BenchmarkError

US_IN_MS = 1000
# perf_analyzer's columns, in microseconds.
COLUMNS = {
    "client_send_ms": "Client Send",
    "network_ms": "Network+Server Send/Recv",
    "queue_ms": "Server Queue",
    "compute_input_ms": "Server Compute Input",
    "compute_infer_ms": "Server Compute Infer",
    "compute_output_ms": "Server Compute Output",
    "client_receive_ms": "Client Recv",
    "p50_ms": "p50 latency",
    "p90_ms": "p90 latency",
    "p95_ms": "p95 latency",
    "p99_ms": "p99 latency",
}
# In inferences a second; a batch of n counts n times.
THROUGHPUT = "Inferences/Second"


def read_measurements(csv_file: Path) -> tuple[Measurement, ...]:
    """Return what perf_analyzer measured, a row for each load, in the order of the file.

    Raises:
        BenchmarkError: it cannot be read, or is not such a file.
    """
    try:
        with csv_file.open(newline="") as lines:
            return tuple(_measurement(row) for row in csv.DictReader(lines))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise BenchmarkError(
            f"{csv_file.name} is not what perf_analyzer writes with --verbose-csv ({error!r}): "
            "measure again with perf_analyzer of tritonclient 2.50.0 (`make bench` brings it)"
        ) from error


def _measurement(row: dict[str, str]) -> Measurement:
    times_ms = {field: float(row[column]) / US_IN_MS for field, column in COLUMNS.items()}
    return Measurement(images_per_s=float(row[THROUGHPUT]), **times_ms)
