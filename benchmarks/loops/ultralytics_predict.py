"""Ultralytics' own ``predict``, file by file, as its users write it.

    python benchmarks/loops/ultralytics_predict.py --model MODEL --images FOLDER --seconds 3

Needs ultralytics and, for an ONNX file, onnxruntime. Prints JSON: ``images_per_s``, ``cpu_ms``
of an image and ``p50_ms``. Pictures are letterboxed to the rectangle that is ``predict``'s default
(``--square``: not, for a network of one size). ``--answers FILE`` gets what was found in each
image: rows of x1, y1, x2, y2, score and class.
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
    parser.add_argument("--square", action="store_true")
    parser.add_argument("--answers", type=Path)
    arguments = parser.parse_args()
    from ultralytics import YOLO  # noqa: PLC0415 - reads the environment when imported

    model = YOLO(arguments.model, task="detect")
    files = sorted(arguments.images.iterdir())

    def boxes(file: Path) -> list[list[float]]:
        found = model.predict(file, rect=not arguments.square, verbose=False, device="cpu")
        rows: list[list[float]] = found[0].boxes.data.tolist()
        return rows

    def predict(number: int) -> float:
        began = time.perf_counter()
        boxes(files[number % len(files)])
        return (time.perf_counter() - began) * 1e3

    found = [boxes(file) for file in (files if arguments.answers else files[:3])]
    if arguments.answers:
        arguments.answers.write_text(json.dumps(found))
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
