"""How long one core takes to decode and letterbox a picture, with and without the allocator set.

    .venv/bin/python benchmarks/decode.py samples/warehouse.jpg

Each round starts one process with glibc as it is and one with the settings that `framewire serve`
gives Triton, by turns; the served models' own code does the work, and cv2.imdecode beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from builder.serving.server_options import ALLOCATOR

MODEL_FOLDER = Path("model_repository/codes_bls/1")
SIZE = 640
MEASURE = """
import json, sys, threading, time
import cv2, numpy as np
sys.path.insert(0, sys.argv[1])
from decode import DecodeLimits
from frames import FrameFormat, load_frame
from letterbox import draw_letterboxed

cv2.setNumThreads(1)
data = open(sys.argv[2], "rb").read()
size, repeats = int(sys.argv[3]), int(sys.argv[4])
frame = np.empty((size, size, 3), np.uint8)
limits = DecodeLimits(2**30, 10**9)
formats = {way: FrameFormat(size, size, limits, decoder=way) for way in ("exact", "scaled")}

def exact():
    load_frame(data, frame, formats["exact"])

def scaled():
    load_frame(data, frame, formats["scaled"])

def opencv():
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    draw_letterboxed(pixels, frame, formats["exact"].plan(pixels.shape[1], pixels.shape[0]))

times = {}

def measure(work):
    work()
    started = time.process_time()
    for _ in range(repeats):
        work()
    times[work.__name__] = (time.process_time() - started) / repeats * 1e3

for work in (exact, scaled, opencv):
    # In a thread, as served: glibc treats the arenas of threads in its own way.
    thread = threading.Thread(target=measure, args=(work,))
    thread.start()
    thread.join()
print(json.dumps(times))
"""


def cpu_ms(picture: Path, repeats: int, environment: dict[str, str]) -> dict[str, float]:
    """Return the CPU milliseconds a picture takes in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, MODEL_FOLDER, picture, str(SIZE), str(repeats)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))


def main() -> None:
    """Print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=50)
    arguments = parser.parse_args()
    rounds: dict[str, list[float]] = {}
    for _ in range(arguments.rounds):
        for allocator, environment in (("glibc as it is", {}), ("allocator set", ALLOCATOR)):
            times = cpu_ms(arguments.picture, arguments.repeats, environment)
            for work, value in times.items():
                rounds.setdefault(f"{work}, {allocator}", []).append(value)
    base = statistics.median(rounds["opencv, glibc as it is"])
    for name, values in rounds.items():
        median = statistics.median(values)
        spread = f"{min(values):.1f} to {max(values):.1f}"
        print(f"{name:<26}{median:6.1f} ms of CPU a frame ({spread}), {base / median:.2f} times")


if __name__ == "__main__":
    main()
