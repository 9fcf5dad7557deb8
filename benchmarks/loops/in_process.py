"""The whole job in one process with no server: the pipeline's own decoding and NMS, OpenVINO.

    python benchmarks/loops/in_process.py --repository model_repository --name codes --version 1 \
        --images FOLDER --workers 2 --seconds 3 --style streams

``streams``: each worker decodes, runs the network on one core and selects detections, one image
after the other, all workers at once. ``shared``: the workers decode, and one thread runs the
network on all cores and selects. Which is faster depends on the network and the machine. Prints
JSON: ``images_per_s``, ``cpu_ms`` of an image and ``p50_ms``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# Without this package OpenVINO's import tells nobody; with it, it tells Intel, from a process that
# it forks beside other threads, and such a fork may hang.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402 - not before that
import openvino.properties.hint as hints  # noqa: E402
from openvino import properties  # noqa: E402

Frame = NDArray[np.uint8]


def compiled(model: Path, workers: int, streams: int) -> ov.CompiledModel:
    """Compile the network for so many cores, in float32 as it is served."""
    many = streams > 1
    mode = hints.PerformanceMode.THROUGHPUT if many else hints.PerformanceMode.LATENCY
    return ov.Core().compile_model(
        model,
        "CPU",
        {
            hints.inference_precision: ov.Type.f32,
            hints.performance_mode: mode,
            properties.inference_num_threads: workers,
            properties.streams.num: streams,
        },
    )


def served_code(repository: Path, name: str, version: int) -> tuple[Any, Any]:
    """Return functions of the pipeline's own code: load an image, select detections."""
    folder = (repository / f"{name}_bls" / str(version)).resolve()
    sys.path.insert(0, str(folder))
    # Only read from its folder, where Triton has them.
    import types  # noqa: PLC0415

    sys.modules.setdefault("triton_python_backend_utils", types.ModuleType("stand_in"))
    from decode import upright_size  # noqa: PLC0415
    from detections import detection_tensors  # noqa: PLC0415
    from frames import frame_format, load_frame  # noqa: PLC0415
    from request_thresholds import default_thresholds  # noqa: PLC0415

    settings = json.loads((folder / "settings.json").read_text())
    wanted = frame_format(settings)
    thresholds = default_thresholds(settings).thresholds

    def load(image: bytes) -> tuple[Frame, NDArray[np.float32]]:
        size = upright_size(image, wanted.limits)
        frame = np.empty(wanted.shape_for([size]), np.uint8)
        return frame, load_frame(image, frame, wanted).geometry

    def select(candidates: NDArray[np.float32], geometry: NDArray[np.float32]) -> dict[str, Any]:
        found = detection_tensors(candidates, geometry[None], thresholds, thresholds.max_det)
        return {tensor.name: array for tensor, array in found.items()}

    return load, select


def run_for(seconds: float, workers: int, job: Callable[[int], float]) -> list[float]:
    """Repeat a job in all workers until time is up; return its latencies."""
    numbers = itertools.count()
    latencies_ms: list[float] = []
    end = time.perf_counter() + seconds

    def repeat() -> None:
        while time.perf_counter() < end:
            latencies_ms.append(job(next(numbers)))

    threads = [threading.Thread(target=repeat) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return latencies_ms


def main() -> None:
    """Print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repository", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--version", type=int, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--style", choices=("streams", "shared"), required=True)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    images = [file.read_bytes() for file in sorted(arguments.images.iterdir())]
    load, select = served_code(arguments.repository, arguments.name, arguments.version)
    streams = arguments.workers if arguments.style == "streams" else 1
    model = arguments.repository / f"{arguments.name}_network" / str(arguments.version)
    network = compiled(model / "model.onnx", arguments.workers, streams)
    # Made here, in one thread, while nothing runs.
    idle: SimpleQueue[ov.InferRequest] = SimpleQueue()
    for _ in range(streams):
        idle.put(network.create_infer_request())

    def infer(frame: Frame) -> NDArray[np.float32]:
        request = idle.get()
        # Put back also after an error: a worker that waits for one that never comes waits for ever.
        try:
            request.infer({0: frame[None]}, share_inputs=True)
            return request.get_output_tensor(0).data.copy()
        finally:
            idle.put(request)

    def whole(number: int) -> float:
        began = time.perf_counter()
        frame, geometry = load(images[number % len(images)])
        select(infer(frame), geometry)
        return (time.perf_counter() - began) * 1e3

    ahead = ThreadPoolExecutor(arguments.workers)
    coming = [ahead.submit(load, images[n % len(images)]) for n in range(2 * arguments.workers)]

    def next_decoded(number: int) -> float:
        began = time.perf_counter()
        frame, geometry = coming.pop(0).result()
        coming.append(ahead.submit(load, images[number % len(images)]))
        select(infer(frame), geometry)
        return (time.perf_counter() - began) * 1e3

    job, threads = (whole, arguments.workers) if streams > 1 else (next_decoded, 1)
    run_for(min(1.0, arguments.seconds), threads, job)
    began, cpu_began = time.perf_counter(), time.process_time()
    latencies_ms = run_for(arguments.seconds, threads, job)
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    ahead.shutdown()
    result = {
        "images_per_s": len(latencies_ms) / took_s,
        "cpu_ms": cpu_s * 1e3 / len(latencies_ms),
        "p50_ms": statistics.median(latencies_ms),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
