"""Decoding 1080p JPEGs on all cores against nvJPEG in batches, images a second.

    python benchmarks/gpu_decoding.py samples/*.jpg            # on a machine with a GPU
    python benchmarks/gpu_decoding.py samples/*.jpg --device cpu   # a rehearsal without one

The cores run the served models' own code, JPEG to a frame of 640, a process for each core. nvJPEG
is asked through torchvision, JPEG to pixels of full size in GPU memory, in batches; for what is
served the picture would still have to be made smaller there. Contestants take turns. Needs what the
served models need; torch and torchvision with CUDA for the GPU.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2

MODEL_FOLDER = Path("model_repository/codes_bls/1")
SIZE, NETWORK_SIDE = (1920, 1080), 640
BATCHES = (1, 8, 32)
ROUNDS, ROUND_S = 3, 5.0


def jpegs(files: Sequence[Path]) -> list[bytes]:
    """Return the pictures as 1080p JPEGs, quality 80."""
    made = []
    for file in files:
        picture = cv2.resize(cv2.imread(str(file)), SIZE, interpolation=cv2.INTER_AREA)
        made.append(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes())
    return made


def on_one_core(job: tuple[list[bytes], str, float]) -> tuple[int, float]:
    """Decode for some seconds; return how many and in how many seconds."""
    data, decoder, seconds = job
    sys.path.insert(0, str(MODEL_FOLDER))
    import numpy as np  # noqa: PLC0415

    from decode import DecodeLimits  # type: ignore[import-not-found] # noqa: PLC0415
    from frames import FrameFormat, load_frame  # type: ignore[import-not-found] # noqa: PLC0415

    cv2.setNumThreads(1)
    frame = np.empty((NETWORK_SIDE, NETWORK_SIDE, 3), np.uint8)
    form = FrameFormat(NETWORK_SIDE, NETWORK_SIDE, DecodeLimits(2**30, 10**9), decoder=decoder)
    begun = time.perf_counter()
    for done, each in enumerate(itertools.cycle(data), start=1):
        load_frame(each, frame, form)
        if (taken := time.perf_counter() - begun) >= seconds:
            return done, taken
    raise ValueError("no pictures")


def on_all_cores(pool: ProcessPoolExecutor, cores: int, data: list[bytes], decoder: str) -> float:
    """Return images a second."""
    found = pool.map(on_one_core, [(data, decoder, ROUND_S)] * cores)
    return sum(images / seconds for images, seconds in found)


def with_nvjpeg(torch: Any, io: Any, data: list[bytes], device: str, batch: int) -> float:
    """Return images a second."""
    tensors = [torch.frombuffer(bytearray(each), dtype=torch.uint8) for each in data]
    source, done, begun = itertools.cycle(tensors), 0, time.perf_counter()
    while True:
        io.decode_jpeg(list(itertools.islice(source, batch)), device=device)
        if device != "cpu":
            torch.cuda.synchronize()
        done += batch
        if (taken := time.perf_counter() - begun) >= ROUND_S:
            return done / taken


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    data = jpegs(arguments.images)
    # Torch has threads, which do not go with fork.
    with ProcessPoolExecutor(arguments.cores, multiprocessing.get_context("spawn")) as pool:
        contestants: dict[str, Callable[[], float]] = {
            f"{arguments.cores} cores, {decoder}": (
                lambda decoder=decoder: on_all_cores(pool, arguments.cores, data, decoder)
            )
            for decoder in ("exact", "scaled")
        }
        try:
            import torch  # noqa: PLC0415 - may be missing
            from torchvision import io  # noqa: PLC0415
        except (ImportError, RuntimeError) as error:
            print(f"nvJPEG: not measured ({error})")
        else:
            contestants |= {
                f"nvJPEG on {arguments.device}, batches of {batch}": (
                    lambda batch=batch: with_nvjpeg(torch, io, data, arguments.device, batch)
                )
                for batch in BATCHES
            }
        found: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(ROUNDS):
            for name, measure in contestants.items():
                found[name].append(measure())
    for name, speeds in found.items():
        low, high = min(speeds), max(speeds)
        print(f"{name}: {statistics.median(speeds):.0f} images/s ({low:.0f} to {high:.0f})")


if __name__ == "__main__":
    main()
