"""Compare CPU runtimes for the network step: time, and whether they agree on the candidates.

    export ORT_DISABLE_TELEMETRY=1
    .venv/bin/python benchmarks/runtimes.py model_repository/codes_network/1/model.onnx

Rounds alternate between the runtimes, so that noise hits all of them; times are per frame.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import openvino as ov
from numpy.typing import NDArray
from openvino import properties
from openvino.properties import hint

Infer = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
CONF = 0.25


def onnx_runtime(model: Path, threads: int) -> Infer:
    """Return ONNX Runtime's CPU execution provider."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda frames: session.run(None, {session.get_inputs()[0].name: frames})[0]


def open_vino(model: Path, threads: int, precision: ov.Type) -> Infer:
    """Return OpenVINO on the CPU, computing in ``precision``."""
    request = (
        ov.Core()
        .compile_model(
            model,
            "CPU",
            {
                hint.inference_precision: precision,
                hint.performance_mode: hint.PerformanceMode.LATENCY,
                properties.inference_num_threads: threads,
            },
        )
        .create_infer_request()
    )

    def infer(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        request.infer({0: frames}, share_inputs=True)
        return request.get_output_tensor(0).data.copy()

    return infer


def frames_from(pictures: list[Path], height: int, width: int) -> NDArray[np.uint8]:
    """Return the pictures stretched to the network's size; boxes need not be right here."""
    return np.stack([cv2.resize(cv2.imread(str(path)), (width, height)) for path in pictures])


def disagreement(one: NDArray[np.float32], other: NDArray[np.float32]) -> str:
    """Return how far the confident candidates of two runtimes lie apart."""
    counts, boxes, scores = [], [0.0], [0.0]
    confident = ([rows[rows[:, 4] > CONF] for rows in candidates] for candidates in (one, other))
    for mine, theirs in zip(*confident, strict=True):
        counts.append(abs(len(mine) - len(theirs)))
        for row in mine:
            if len(theirs):
                nearest = theirs[np.abs(theirs[:, :4] - row[:4]).max(1).argmin()]
                boxes.append(float(np.abs(nearest[:4] - row[:4]).max()))
                scores.append(abs(float(nearest[4] - row[4])))
    return (
        f"candidates more or less {sum(counts)}, boxes within {max(boxes):.3f} px, "
        f"scores within {max(scores):.5f}"
    )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--pictures", type=Path, default=Path("samples"))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()

    runtimes = {
        "ONNX Runtime": onnx_runtime(arguments.model, arguments.threads),
        "OpenVINO float32": open_vino(arguments.model, arguments.threads, ov.Type.f32),
        "OpenVINO bfloat16": open_vino(arguments.model, arguments.threads, ov.Type.bf16),
    }
    _, height, width, _ = onnxruntime.InferenceSession(arguments.model).get_inputs()[0].shape
    frames = frames_from(sorted(arguments.pictures.glob("*.jpg")), height, width)
    reference = runtimes["ONNX Runtime"](frames)
    for batch in (1, 4):
        times_ms: dict[str, list[float]] = {name: [] for name in runtimes}
        for _ in range(arguments.rounds):
            for name, infer in runtimes.items():
                started = time.perf_counter()
                infer(frames[:batch])
                times_ms[name].append((time.perf_counter() - started) * 1e3 / batch)
        base = statistics.median(times_ms["ONNX Runtime"])
        for name, values in times_ms.items():
            median = statistics.median(values)
            print(f"batch {batch}  {name:<18} {median:6.1f} ms a frame, {base / median:.2f} times")
    for name, infer in runtimes.items():
        print(f"{name:<18} against ONNX Runtime: {disagreement(reference, infer(frames))}")


if __name__ == "__main__":
    main()
