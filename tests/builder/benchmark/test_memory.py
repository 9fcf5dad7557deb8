from __future__ import annotations

import os
import subprocess
import sys

import pytest

from builder.benchmark.memory import MemorySample, growth, process_memory_mb
from builder.errors import BenchmarkError

# Pages that are mapped, not allocated: what an allocator keeps of a temporary copy is not ours to
# say. Each line that is read is answered with one, so that nothing is measured in between.
TAKES_PAGES = """
import mmap, sys
maps = []
for line in sys.stdin:
    maps.append(mmap.mmap(-1, 64 * 2**20, flags=getattr(mmap, line.strip())))
    for start in range(0, len(maps[-1]), mmap.PAGESIZE):
        maps[-1][start] = 1
    print(flush=True)
"""


def test_memory_counts_a_processs_own_pages_and_not_what_it_shares() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", TAKES_PAGES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        measured = []
        for kind in ("MAP_PRIVATE", "MAP_PRIVATE", "MAP_SHARED"):
            print(kind, file=process.stdin, flush=True)
            process.stdout.readline()
            measured.append(process_memory_mb(process.pid))
        process.stdin.close()
    assert measured[1] - measured[0] == pytest.approx(64, abs=4)
    assert measured[2] == pytest.approx(measured[1], abs=4)


def test_a_process_that_died_is_a_sentence_even_before_it_was_waited_for() -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert dead.stdout is not None
    dead.stdout.read()
    os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(BenchmarkError, match="ended while it was measured"):
        process_memory_mb(dead.pid)
    dead.communicate()
    with pytest.raises(BenchmarkError, match="ended while it was measured"):
        process_memory_mb(dead.pid)


def test_growth_is_told_of_what_comes_after_the_first_tenth() -> None:
    # Up to 100 MB in the first tenth of an hour, then 10 MB an hour; a peak at half time.
    samples = [MemorySample(0, {}, {"flat": 5.0, "grows": 20.0})]
    samples += [
        MemorySample(
            minute * 60,
            {},
            {"flat": 30.0 if minute == 33 else 5.0, "grows": 99.0 + minute / 6},
        )
        for minute in range(6, 61)
    ]
    flat, grows = growth(samples)
    assert (grows.process, grows.settled_mb, grows.end_mb) == ("grows", 100.0, 109.0)
    assert grows.slope_mb_per_h == pytest.approx(10.0)
    assert grows.percent == pytest.approx(9.0)
    assert flat.percent == 0.0
    assert flat.slope_mb_per_h == pytest.approx(0.0, abs=1e-9)
    assert flat.highest_mb == 30.0


def test_too_few_samples_are_a_sentence() -> None:
    with pytest.raises(BenchmarkError, match="1 times only: give --soak more minutes"):
        growth([MemorySample(1, {}, {"tritonserver": 1.0})])
