from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from builder.benchmark.load import Load
from builder.benchmark.long_load import long_load
from builder.benchmark.perf_analyzer import PerfAnalyzer, Target
from builder.errors import BenchmarkError, PerfAnalyzerMissingError
from tests.serving import running

TARGET = Target("127.0.0.1:1", metrics_url=None)


def stand_in(folder: Path, script: str) -> PerfAnalyzer:
    program = folder / "perf_analyzer"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return PerfAnalyzer(program)


def test_the_load_ends_with_its_block(tmp_path: Path) -> None:
    work = "for i in $(seq 50); do sleep 0.1; done"
    analyzer = stand_in(tmp_path, f"echo $$ > {tmp_path}/pid; {work}; touch {tmp_path}/finished")
    with long_load(
        analyzer, TARGET, Load("m"), tmp_path / "data", tmp_path / "csv", seconds=60
    ) as load:
        while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text():
            time.sleep(0.01)
        pid = int((tmp_path / "pid").read_text())
        assert running(pid)
        assert not load.ended
    assert not running(pid)
    assert not (tmp_path / "finished").exists()


def test_a_load_that_failed_says_why(tmp_path: Path) -> None:
    analyzer = stand_in(tmp_path, "echo 'WARNING: x'; echo 'error: no such model' >&2; exit 99")
    with (
        long_load(
            analyzer, TARGET, Load("m"), tmp_path / "data", tmp_path / "csv", seconds=1
        ) as load,
        pytest.raises(BenchmarkError, match=r"m_batch_1_concurrency_1 .*no such model"),
    ):
        load.result()


def test_three_windows_of_perf_analyzer_fill_the_time(tmp_path: Path) -> None:
    analyzer = stand_in(tmp_path, f'echo "$@" > {tmp_path}/arguments')
    with long_load(
        analyzer, TARGET, Load("m"), tmp_path / "data", tmp_path / "csv", seconds=36
    ) as load:
        while not load.ended:
            time.sleep(0.01)
    arguments = (tmp_path / "arguments").read_text()
    assert "--measurement-interval 10000 --max-trials 3" in arguments
    assert "metrics" not in arguments


def test_a_program_that_cannot_run_is_a_sentence(tmp_path: Path) -> None:
    program = tmp_path / "perf_analyzer"
    program.write_bytes(os.urandom(100))
    program.chmod(0o755)
    with (
        pytest.raises(PerfAnalyzerMissingError, match="cannot be run"),
        long_load(PerfAnalyzer(program), TARGET, Load("m"), tmp_path, tmp_path / "csv", seconds=1),
    ):
        raise AssertionError
