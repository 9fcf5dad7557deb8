"""Ultralytics' own ``predict``, file by file, as its users write it.

    python benchmarks/loops/ultralytics_predict.py --model MODEL --images FOLDER --seconds 3

Needs ultralytics and, for an ONNX file, onnxruntime. Prints JSON: ``images_per_s``, ``cpu_ms``
of an image and ``p50_ms``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

# It neither installs nor downloads anything here, and tells nobody about models.
os.environ.update(YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false", ORT_DISABLE_TELEMETRY="1")


def main() -> None:
    """Print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=3)
    arguments = parser.parse_args()
    from ultralytics import YOLO  # noqa: PLC0415 - reads the environment when imported

    model = YOLO(arguments.model, task="detect")
    files = sorted(arguments.images.iterdir())

    def predict(number: int) -> float:
        began = time.perf_counter()
        model.predict(files[number % len(files)], rect=False, verbose=False, device="cpu")
        return (time.perf_counter() - began) * 1e3

    for number in range(3):
        predict(number)
    began, cpu_began = time.perf_counter(), time.process_time()
    latencies_ms: list[float] = []
    while time.perf_counter() < began + arguments.seconds:
        latencies_ms.append(predict(len(latencies_ms)))
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    result = {
        "images_per_s": len(latencies_ms) / took_s,
        "cpu_ms": cpu_s * 1e3 / len(latencies_ms),
        "p50_ms": statistics.median(latencies_ms),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
