"""The memory of a server against that of an earlier build."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from builder.benchmark.earlier_build import unpack_earlier_build
from builder.benchmark.memory_targets import ServerMemory, memory_lines, memory_targets
from builder.benchmark.proportional_memory import pss_mb, triton_of
from builder.errors import BenchmarkError


def git(folder: Path, *arguments: str) -> str:
    settings = ("-c", "user.name=a", "-c", "user.email=a@b.example")
    done = subprocess.run(
        ["git", *settings, "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_both_states_are_ratios_of_whole_servers_in_each_round() -> None:
    today = [ServerMemory({"a": 30, "b": 10}, {"a": 50}), ServerMemory({"a": 50}, {"a": 90})]
    earlier = [ServerMemory({"a": 80}, {"a": 60, "b": 40}), ServerMemory({"a": 50}, {"a": 100})]
    p4, p4b = memory_targets(today, earlier)
    assert p4.line == "target p4: 0.75 (goal at most 0.75; 0.50 to 1.00 over 2 rounds)"
    assert p4b.line == "target p4b: 0.70 (goal at most 0.85; 0.50 to 0.90 over 2 rounds)"
    assert (p4.reached, p4b.reached) == (True, True)


def test_without_rounds_it_says_why() -> None:
    for target in memory_targets((), (), "no git"):
        assert target.line.startswith(f"target {target.number}: not measured")
        assert target.line.endswith("; no git)")


def test_every_process_of_either_build_has_a_line() -> None:
    lines = memory_lines(ServerMemory({"a": 1, "c": 3}, {"a": 2}), ServerMemory({"a": 4}, {}))
    assert [line.split(",")[0] for line in lines] == ["PSS of a", "PSS of c"]
    assert "idle 4 to 1 MB, loaded 0 to 2 MB" in lines[0]


def test_an_earlier_build_has_the_files_of_its_commit_from_anywhere_in_the_clone(
    tmp_path: Path,
) -> None:
    clone = tmp_path / "clone"
    (clone / "benchmarks").mkdir(parents=True)
    git(clone, "init", "--quiet")
    (clone / "file").write_text("before")
    git(clone, "add", "file")
    git(clone, "commit", "--quiet", "-m", "one")
    commit = git(clone, "rev-parse", "HEAD")
    (clone / "file").write_text("after")
    unpack_earlier_build(clone / "benchmarks", tmp_path / "earlier", commit)
    assert (tmp_path / "earlier" / "file").read_text() == "before"


def test_where_there_is_no_history_it_says_what_git_says(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"is not at hand: git says .*not a git repository"):
        unpack_earlier_build(tmp_path, tmp_path / "earlier")
    git(tmp_path, "init", "--quiet")
    with pytest.raises(BenchmarkError, match="is not at hand: git says"):
        unpack_earlier_build(tmp_path, tmp_path / "earlier")


def test_where_there_is_no_git_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BenchmarkError, match="there is no git"):
        unpack_earlier_build(tmp_path, tmp_path / "earlier")


def test_a_process_that_is_gone_or_serves_nothing_is_a_sentence() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
        with pytest.raises(BenchmarkError, match="ended while it was measured"):
            pss_mb(process.pid)
    with pytest.raises(BenchmarkError, match="serves no models"):
        triton_of(os.getpid())
