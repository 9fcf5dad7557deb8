from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from builder.benchmark.perf_analyzer import PRIVATE_FOLDER, find_perf_analyzer
from builder.errors import PerfAnalyzerMissingError


def test_the_one_that_make_brought_is_found_and_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    assert find_perf_analyzer().program == PRIVATE_FOLDER / "perf_analyzer"


def test_one_on_the_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "perf_analyzer"
    own.symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert find_perf_analyzer().program == own


def test_a_named_one_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PerfAnalyzerMissingError, match=r"no perf_analyzer at .*make bench"):
        find_perf_analyzer(tmp_path / "perf_analyzer")


def test_none_at_all_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("builder.benchmark.perf_analyzer.PRIVATE_FOLDER", tmp_path)
    with pytest.raises(PerfAnalyzerMissingError, match="no perf_analyzer on PATH or in this"):
        find_perf_analyzer()


def test_one_whose_libraries_are_missing_names_them(tmp_path: Path) -> None:
    # The same program elsewhere: its libraries do not lie beside it.
    program = tmp_path / "perf_analyzer"
    program.write_bytes((PRIVATE_FOLDER / "perf_analyzer").read_bytes())
    program.chmod(0o755)
    with pytest.raises(PerfAnalyzerMissingError, match=r"it lacks .*libcudart\.so\.12"):
        find_perf_analyzer(program)
