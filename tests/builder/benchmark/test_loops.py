from __future__ import annotations

import sys
from pathlib import Path

import pytest

from builder.benchmark.loops import Loops
from builder.errors import BenchmarkError
from tests.conftest import ROOT

LOOPS = Loops(ROOT / "benchmarks" / "loops", seconds=0.2, workers=1)
DECODER = ROOT / "model_repository" / "codes_preprocess" / "1"


def test_decoding_alone_is_measured_with_the_code_of_the_pipeline(tmp_path: Path) -> None:
    (tmp_path / "desk.jpg").symlink_to(ROOT / "samples" / "desk.jpg")
    found = LOOPS.decode_limit(DECODER, tmp_path, workers=2)
    assert found.images_per_s > 0
    assert found.cpu_ms is not None
    assert found.cpu_ms > 0
    assert found.p50_ms > 0


def test_a_loop_that_fails_says_why_and_ends(tmp_path: Path) -> None:
    (tmp_path / "desk.jpg").symlink_to(ROOT / "samples" / "desk.jpg")
    with pytest.raises(BenchmarkError, match=r"decode_limit\.py failed"):
        LOOPS.decode_limit(tmp_path / "none", tmp_path, workers=2)


def test_an_interpreter_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"none cannot run ultralytics_predict\.py"):
        LOOPS.ultralytics(tmp_path / "none", tmp_path, tmp_path)


def test_an_interpreter_without_ultralytics_is_a_sentence(tmp_path: Path) -> None:
    # No site-packages: whatever the environment has, this interpreter has not.
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(BenchmarkError, match="No module named 'ultralytics'"):
        LOOPS.ultralytics(bare, tmp_path, tmp_path)
