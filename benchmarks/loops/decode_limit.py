"""How fast this machine decodes and letterboxes, with a pipeline's own code and nothing else.

    python benchmarks/loops/decode_limit.py --version-folder model_repository/codes_preprocess/1 \
        --images FOLDER --workers 2 --seconds 3

One process for each worker. Prints JSON: ``images_per_s``, ``cpu_ms`` of an image and ``p50_ms``.
``framewire bench`` runs it with the environment that ``framewire serve`` gives Triton.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import threading
import time
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

# All workers begin together; one that does not come up must not hold the others for ever.
START_S = 60


def work(
    folder: Path, images: list[bytes], seconds: float, start: Barrier, out: Connection
) -> None:
    """Decode for a while in a thread, as served: glibc treats the arenas of threads differently."""
    sys.path.insert(0, str(folder))
    import cv2  # noqa: PLC0415 - after the fork, and the served code from its folder
    import numpy as np  # noqa: PLC0415

    from decode import upright_size  # noqa: PLC0415
    from frames import frame_format, load_frame  # noqa: PLC0415

    cv2.setNumThreads(1)
    wanted = frame_format(json.loads((folder / "settings.json").read_text()))

    def decode() -> None:
        shapes = [wanted.shape_for([upright_size(image, wanted.limits)]) for image in images]
        frames = [np.empty(shape, np.uint8) for shape in shapes]
        for image, frame in zip(images, frames, strict=True):
            load_frame(image, frame, wanted)
        start.wait(START_S)
        times_ms = []
        began, cpu_began = time.perf_counter(), time.process_time()
        while (now := time.perf_counter()) < began + seconds:
            number = len(times_ms) % len(images)
            load_frame(images[number], frames[number], wanted)
            times_ms.append((time.perf_counter() - now) * 1e3)
        out.send((times_ms, time.process_time() - cpu_began))

    thread = threading.Thread(target=decode)
    thread.start()
    thread.join()


def main() -> None:
    """Print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--version-folder", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=3)
    arguments = parser.parse_args()
    images = [file.read_bytes() for file in sorted(arguments.images.iterdir())]
    start = multiprocessing.Barrier(arguments.workers)
    pipes, processes = [], []
    for _ in range(arguments.workers):
        ours, theirs = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.Process(
            target=work,
            args=(arguments.version_folder.resolve(), images, arguments.seconds, start, theirs),
            daemon=True,
        )
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    results = [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join()
    times_ms = [each for times, _ in results for each in times]
    result = {
        "images_per_s": len(times_ms) / arguments.seconds,
        "cpu_ms": sum(cpu_s for _, cpu_s in results) * 1e3 / len(times_ms),
        "p50_ms": statistics.median(times_ms),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
