"""A client's loop: so many threads, each with one image at a time."""

from __future__ import annotations

import itertools
import json
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

# Of each detection x1, y1, x2, y2, score and class.
Rows = list[list[float]]


def run_closed_loop(
    detect: Callable[[bytes], Rows],
    images: Sequence[bytes],
    workers: int,
    seconds: float,
    answers: Path | None,
) -> dict[str, float]:
    """Detect in the images by turns until time is up; return throughput, CPU time and latency.

    Args:
        detect: what is measured.
        images: encoded.
        workers: threads.
        seconds: to go on beginning images.
        answers: a file for what is found in each image, before the time begins.
    """
    found = [detect(image) for image in (images if answers else images[:1])]
    if answers:
        answers.write_text(json.dumps(found))
    numbers = itertools.count()
    latencies_ms: list[float] = []

    def work(end: float) -> None:
        while (began := time.perf_counter()) < end:
            detect(images[next(numbers) % len(images)])
            latencies_ms.append((time.perf_counter() - began) * 1e3)

    began, cpu_began = time.perf_counter(), time.process_time()
    threads = [threading.Thread(target=work, args=(began + seconds,)) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    return {
        "images_per_s": len(latencies_ms) / took_s,
        "cpu_ms": cpu_s * 1e3 / len(latencies_ms),
        "p50_ms": statistics.median(latencies_ms),
    }
