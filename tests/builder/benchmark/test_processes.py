from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from builder.benchmark.processes import cpu_ms_per_image, process_cpu_seconds
from builder.errors import BenchmarkError


def test_cpu_seconds_are_those_the_process_knows_of_itself() -> None:
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    times = os.times()
    assert process_cpu_seconds(os.getpid()) == pytest.approx(times.user + times.system, abs=0.05)


def test_a_process_that_is_gone_is_a_sentence() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    with pytest.raises(BenchmarkError, match="ended while it was measured"):
        process_cpu_seconds(done.pid)


def test_cost_is_shared_by_the_images_in_between() -> None:
    before = {"tritonserver": 10.0, "m": 3.0}
    after = {"tritonserver": 10.5, "m": 5.0, "new": 1.0}
    assert cpu_ms_per_image(before, after, 100) == {"tritonserver": 5.0, "m": 20.0, "new": 10.0}


def test_no_image_in_between_is_a_sentence() -> None:
    with pytest.raises(BenchmarkError, match="answered no image"):
        cpu_ms_per_image({}, {}, 0)
