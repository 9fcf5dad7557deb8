"""A model that measures what metrics cost while it is loaded, and serves nothing."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import triton_python_backend_utils as pb_utils
from contract import NUM_DETS, ImageStatus

from detection_counts import DETECTION_COUNTERS, DetectionTally
from frames import LoadedFrame
from image_counts import IMAGE_COUNTERS, image_counts
from metrics import ProcessMetrics
from nms import Thresholds

ROUNDS = 5
TIMES = 2000


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Print microseconds of wall time, and of this process' CPU time."""
        family = pb_utils.MetricFamily(
            name="framewire_cost_total",
            description="of a message",
            kind=pb_utils.MetricFamily.COUNTER,
        )
        metric = family.Metric(labels={})
        metrics = ProcessMetrics(args, IMAGE_COUNTERS + DETECTION_COUNTERS)
        frame = LoadedFrame(ImageStatus.OK, "", np.ones(6), (1920, 1080), "jpeg", 227_000, 0.004)
        candidates = np.random.default_rng(0).random((1, 1000, 6), np.float32)
        geometry, found = np.ones((1, 6), np.float32), {NUM_DETS: np.full((1, 1), 7, np.int32)}

        def add_a_batch() -> None:
            tally = DetectionTally()
            tally.count(candidates, geometry, Thresholds(0.25, 0.7, 300), found)
            metrics.add(image_counts([frame]) | tally.amounts())

        report("one message to Triton", lambda: metric.increment(1))
        report("a batch of one image, added up", add_a_batch)
        metrics.close()


def report(name: str, step: Callable[[], None]) -> None:
    """Print what one of many steps took, in the median of some rounds."""
    wall, cpu = zip(*(microseconds(step) for _ in range(ROUNDS)), strict=True)
    print(
        f"RESULT {name}: {statistics.median(wall):.1f} us, {statistics.median(cpu):.1f} us of it "
        "CPU time of the model's process",
        file=sys.stderr,
        flush=True,
    )


def microseconds(step: Callable[[], None]) -> tuple[float, float]:
    """Return wall and CPU time of a step."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(TIMES):
        step()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return wall / TIMES * 1e6, cpu / TIMES * 1e6
