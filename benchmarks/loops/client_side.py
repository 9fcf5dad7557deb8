"""A client that does the work itself: it decodes, sends FP32 tensors and reads the head.

    python benchmarks/loops/client_side.py --url 127.0.0.1:8001 --images FOLDER --workers 8

The server of ``usual_recipe`` runs the network only; the code of its other steps runs here, in as
many threads as requests are to be in flight. Prints JSON: ``images_per_s``, ``cpu_ms`` of an image,
in this process only, and ``p50_ms``.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import statistics
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

import tritonclient.grpc as triton

RECIPE = Path(__file__).parent.parent / "usual_recipe"
MODEL = "usual_network"


def step(name: str) -> Any:
    """Import a step of the recipe; what Triton gives it there, it does not need here."""
    sys.modules.setdefault("triton_python_backend_utils", types.ModuleType("stand_in"))
    spec = importlib.util.spec_from_file_location(name, RECIPE / f"usual_{name}" / "1" / "model.py")
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3)
    arguments = parser.parse_args()
    images = [file.read_bytes() for file in sorted(arguments.images.iterdir())]
    preprocess, postprocess = step("preprocess").preprocess, step("postprocess").postprocess
    client = triton.InferenceServerClient(arguments.url)
    numbers = itertools.count()
    latencies_ms: list[float] = []

    def detect(image: bytes) -> None:
        tensor, geometry = preprocess(image)
        sent = triton.InferInput("images", [1, *tensor.shape], "FP32")
        sent.set_data_from_numpy(tensor[None])
        postprocess(client.infer(MODEL, [sent]).as_numpy("output0")[0], geometry)

    def work(end: float) -> None:
        while (began := time.perf_counter()) < end:
            detect(images[next(numbers) % len(images)])
            latencies_ms.append((time.perf_counter() - began) * 1e3)

    detect(images[0])
    began, cpu_began = time.perf_counter(), time.process_time()
    threads = [
        threading.Thread(target=work, args=(began + arguments.seconds,))
        for _ in range(arguments.workers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    client.close()
    result = {
        "images_per_s": len(latencies_ms) / took_s,
        "cpu_ms": cpu_s * 1e3 / len(latencies_ms),
        "p50_ms": statistics.median(latencies_ms),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
