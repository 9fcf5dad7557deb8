"""``make stream-bench``: its link is as slow as it says, and nothing of it is left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docker.programs import program

BENCH = ROOT / "benchmarks" / "stream" / "run.py"


def bench(*options: str, path: str | None = None) -> subprocess.Popen[str]:
    environment = os.environ if path is None else {**os.environ, "PATH": path}
    return subprocess.Popen(
        [sys.executable, str(BENCH), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def namespaces() -> set[str]:
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    return set(re.findall(r"^framewire-link-\S+", listed.stdout, re.MULTILINE))


@pytest.fixture
def root() -> None:
    program("ip", "iproute2")
    program("tc", "iproute2")
    if os.geteuid() != 0:
        pytest.skip("links are made of network namespaces, which only root may")


def test_the_camera_s_video_goes_through_and_the_last_line_says_how(root: None) -> None:
    ways = ("H.264 of the camera", "FP32 tensors")
    running = bench("--links", "4", "20", "--seconds", "2", "--ways", *ways)
    output, errors = running.communicate(timeout=300)
    assert running.returncode == 0, errors
    *_, last = output.splitlines()
    assert re.fullmatch(
        r"stream: 1080p at 4 Mbit/s: [\d.]+ fps \(goal 30\), p95 \d+ ms \(goal 150\)", last
    )
    rows = [line.split("|") for line in output.splitlines() if "tensors" in line]
    # 4.9 MB take so long at least, however fast the machine is.
    assert [
        float(row[4]) > 8 * 4.9152e6 / mbit / 1e6 * 900
        for row, mbit in zip(rows, (4, 20), strict=True)
    ] == [True, True]
    measured = [float(found) for found in re.findall(r"link ([\d.]+) Mbit/s", errors)]
    assert measured == pytest.approx([4, 20], rel=0.25)
    assert not namespaces()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_run_takes_its_namespaces_away(root: None, number: int) -> None:
    running = bench("--links", "4", "--seconds", "2")
    deadline = time.monotonic() + 60
    while not namespaces():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(number)
    running.communicate(timeout=120)
    assert running.returncode != 0
    assert not namespaces()


def test_what_is_missing_is_said_in_one_sentence(tmp_path: Path) -> None:
    running = bench(path=str(tmp_path))
    output, errors = running.communicate(timeout=60)
    assert running.returncode == 1
    assert output == ""
    assert errors == (
        "stream-bench: links are made with ip, which is not installed: apt-get install iproute2\n"
    )
