"""Memory of the network step's process: OpenVINO, compiled once for each way it runs.

    .venv/bin/python benchmarks/network_memory.py --cores 1 2 4 8 \
        model_repository/codes_network/1/model.onnx

A process of its own for each network and number of cores loads it with the served model's own code,
has every stream run frames, and says what it takes. `framewire deploy` counts with what this prints
(docs/performance.md).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from builder.benchmark.memory import process_memory_mb

ROOT = Path(__file__).parent.parent
SERVED = [ROOT / "src/builder/served_models" / folder for folder in ("network", "shared")]
RUNS = 6
# Of networks that leave their size open.
LARGEST = 640, 640


def measure(onnx_file: Path, cores: int) -> tuple[float, float, str]:
    """Return the memory in MB after loading and after the last of many runs, and the size."""
    sys.path[:0] = [str(folder) for folder in SERVED]
    import numpy as np  # noqa: PLC0415 - in the measured process only

    from runtime import Network  # noqa: PLC0415

    network = Network(onnx_file, cores, LARGEST)
    loaded = process_memory_mb(os.getpid())
    shape = network.grey_frame.shape
    frames = [
        np.random.default_rng(seed).integers(0, 256, shape, np.uint8) for seed in range(cores)
    ]
    with ThreadPoolExecutor(cores) as threads:
        for _ in range(RUNS):
            list(threads.map(lambda frame: network.infer(frame, alone=False), frames))
            network.infer(frames[0], alone=True)
    return loaded, process_memory_mb(os.getpid()), f"{shape[2]}x{shape[1]}"


def main() -> None:
    """Measure every combination, each in a process of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("networks", type=Path, nargs="+", help="model.onnx of network steps")
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        loaded, after, size = measure(arguments.networks[0], arguments.cores[0])
        print(f"{size:>10}{loaded:12.0f}{after:12.0f}")
        return
    print(
        f"{'network':30}{'file MB':>9}{'cores':>6}{'size':>10}{'loaded MB':>12}{'at work MB':>12}"
    )
    for network in arguments.networks:
        file_mb = network.stat().st_size / 2**20
        for cores in arguments.cores:
            said = subprocess.run(
                [sys.executable, __file__, "--one", str(network), "--cores", str(cores)],
                check=True,
                capture_output=True,
                text=True,
            )
            print(
                f"{network.parts[-3]:30}{file_mb:9.1f}{cores:6}{said.stdout.rstrip()}", flush=True
            )


if __name__ == "__main__":
    main()
