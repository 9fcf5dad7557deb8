"""Clients as most are: every frame a JPEG of quality 80, or every frame a float tensor.

    plain_client.py jpegs URL VIDEO.avi SECONDS
    plain_client.py tensors URL - SECONDS

Prints one line of JSON: frames, frames_per_s, latency_p50_ms, latency_p95_ms, latency_max_ms,
bytes_per_frame. Latency is from when a frame is handed over to its answer.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator

import av
import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput

from thin_client import Detector
from thin_client.streaming.meter import percentile

FPS = 30
IN_FLIGHT = 4
# One tensor takes 20 s at 2 Mbit/s; a slow link gets the time for a few.
LONGEST_S = 60.0


def jpegs(path: str) -> Iterator[bytes]:
    """Yield the frames of a Motion JPEG file when a camera would."""
    with av.open(path) as container:
        started = time.monotonic()
        for number, packet in enumerate(container.demux(video=0)):
            if packet.size:
                time.sleep(max(0.0, started + number / FPS - time.monotonic()))
                yield bytes(packet)


def measured(
    send: Callable[[bytes], object], frames: Iterator[bytes], in_flight: int, seconds: float
) -> dict[str, float]:
    """Send frames for a while, so many at a time and in order; return the numbers."""
    answers: list[tuple[float, float]] = []
    lock = threading.Lock()
    began = time.monotonic()
    sizes: list[int] = []

    def work() -> None:
        while True:
            with lock:
                now = time.monotonic()
                enough = answers or now - began > LONGEST_S
                frame = None if now - began > seconds and enough else next(frames, None)
            if frame is None:
                return
            handed_over = time.monotonic()
            send(frame)
            sizes.append(len(frame))
            answers.append((time.monotonic(), time.monotonic() - handed_over))

    threads = [threading.Thread(target=work) for _ in range(in_flight)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    latencies = [latency for _, latency in answers]
    return {
        "frames": len(answers),
        "frames_per_s": len(answers) / (max(at for at, _ in answers) - began),
        "latency_p50_ms": 1e3 * percentile(latencies, 0.5),
        "latency_p95_ms": 1e3 * percentile(latencies, 0.95),
        "latency_max_ms": 1e3 * max(latencies),
        "bytes_per_frame": sum(sizes) / len(sizes),
    }


def main() -> None:
    """Measure one of the two."""
    kind, url, video, seconds = sys.argv[1:]
    if kind == "jpegs":
        with Detector(url, "codes", timeout_s=None) as detector:
            detector.connect()
            found = measured(
                detector.detect,
                jpegs(video),
                IN_FLIGHT,
                float(seconds),
            )
    else:
        tensor = np.random.default_rng(0).random((1, 3, 640, 640), np.float32)
        with InferenceServerClient(url) as client:

            def send(_: bytes) -> None:
                images = InferInput("images", list(tensor.shape), "FP32")
                images.set_data_from_numpy(tensor)
                client.infer("tensors", [images])

            blank = bytes(tensor.nbytes)
            found = measured(send, iter(lambda: blank, None), 1, float(seconds))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
