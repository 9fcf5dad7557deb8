"""Plans that are kept in the cache, with stand-ins for trtexec and nvidia-smi.

See ``engine_stand_ins`` for what that proves and what it does not.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from builder.pipelines.manifest import active_version
from builder.settings import Nms
from builder.tensorrt.engine import build_engine
from builder.tensorrt.engine_options import EngineOptions
from builder.tensorrt.kept_plans import KEPT_PLANS, PLANS
from builder.tensorrt.plan import check_plan
from tests.builder.engine_stand_ins import (
    L4,
    StandIns,
    contents,
    engine,
    network_folder,
    tensorrt_repository,
)


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIns:
    made = StandIns(tmp_path / "bin")
    made.put_on_path(monkeypatch)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return made


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tensorrt_repository(tmp_path)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def another_copy(repository: Path) -> Path:
    """The repository as the next container gets it, without a plan."""
    copy = repository.parent / "another"
    shutil.copytree(repository, copy)
    return copy


def test_the_next_container_takes_the_plan_from_the_cache(
    repository: Path, cache: Path, stand_ins: StandIns, capsys: pytest.CaptureFixture[str]
) -> None:
    next_one = another_copy(repository)
    assert engine(repository, "--cache", str(cache)) == 0
    assert engine(next_one, "--cache", str(cache)) == 0
    assert len(stand_ins.builds) == 1
    assert "taken from the cache because the one before is missing" in capsys.readouterr().out
    check_plan(next_one, "tiny", L4)
    assert contents(network_folder(next_one)) == contents(network_folder(repository))


@pytest.mark.parametrize(
    ("told", "options"),
    [
        ({"version": "101100", "build": "33"}, []),
        ({"gpus": ["NVIDIA A10, 8.6"]}, []),
        ({}, ["--opt-batch", "1"]),
        ({}, ["--force"]),
    ],
)
def test_a_plan_for_another_place_or_with_other_options_is_not_taken(
    repository: Path,
    cache: Path,
    stand_ins: StandIns,
    told: dict[str, object],
    options: list[str],
) -> None:
    next_one = another_copy(repository)
    assert engine(repository, "--cache", str(cache)) == 0
    stand_ins.tell(**told)
    assert engine(next_one, "--cache", str(cache), *options) == 0
    assert len(stand_ins.builds) == 2


def test_a_plan_of_another_network_is_not_taken(
    repository: Path, cache: Path, stand_ins: StandIns, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = tensorrt_repository(tmp_path / "other", nms=Nms.GRAPH)
    for each in (repository, other, another_copy(repository), another_copy(other)):
        assert engine(each, "--cache", str(cache)) == 0
        (network_folder(each) / "model.plan").unlink()
    assert len(stand_ins.builds) == 2, "each has a place of its own"


def test_a_plan_that_says_to_be_for_something_else_is_not_taken(
    repository: Path, cache: Path, stand_ins: StandIns
) -> None:
    next_one = another_copy(repository)
    assert engine(repository, "--cache", str(cache)) == 0
    (kept,) = (cache / PLANS).iterdir()
    said = json.loads((kept / "model.plan.json").read_text())
    (kept / "model.plan.json").write_text(json.dumps({**said, "onnx_sha256": "0" * 64}))
    assert engine(next_one, "--cache", str(cache)) == 0
    assert len(stand_ins.builds) == 2


@pytest.mark.parametrize("file", ["model.plan", "model.plan.json"])
def test_a_damaged_plan_in_the_cache_is_compiled_again_and_replaced(
    repository: Path, cache: Path, stand_ins: StandIns, file: str
) -> None:
    next_one = another_copy(repository)
    assert engine(repository, "--cache", str(cache)) == 0
    (kept,) = (cache / PLANS).iterdir()
    whole = contents(kept)
    (kept / file).write_bytes(b"{")
    assert engine(next_one, "--cache", str(cache)) == 0
    assert len(stand_ins.builds) == 2
    assert contents(kept) == whole
    check_plan(next_one, "tiny", L4)


def test_back_on_the_gpu_before_nothing_is_compiled(
    repository: Path, cache: Path, stand_ins: StandIns
) -> None:
    for gpu in ("NVIDIA L4, 8.9", "NVIDIA A10, 8.6", "NVIDIA L4, 8.9"):
        stand_ins.tell(gpus=[gpu])
        assert engine(repository, "--cache", str(cache)) == 0
    assert len(stand_ins.builds) == 2
    assert active_version(repository, "tiny") == 3
    check_plan(repository, "tiny", L4)


def test_of_two_servers_that_start_together_one_compiles_and_the_other_waits(
    repository: Path, cache: Path, stand_ins: StandIns
) -> None:
    next_one = another_copy(repository)
    go_on = stand_ins.home / "go on"
    stand_ins.tell(waits_for=str(go_on))
    options, said = EngineOptions(cache=cache), []

    def compile_first() -> None:
        build_engine(repository, "tiny", options, progress=lambda *_: None, interval_s=0.05)

    def hear(_seconds: float, line: str) -> None:
        said.append(line)
        go_on.touch()

    first = threading.Thread(target=compile_first)
    first.start()
    while not stand_ins.builds:
        first.join(0.05)
    result = build_engine(next_one, "tiny", options, progress=hear, interval_s=0.05)
    first.join()
    assert set(said) == {"another process compiles the same plan"}
    assert result.new_plan is not None
    assert result.new_plan.seconds is None
    assert len(stand_ins.builds) == 1
    check_plan(repository, "tiny", L4)
    check_plan(next_one, "tiny", L4)


def test_the_plans_that_were_used_last_are_kept(
    repository: Path, cache: Path, stand_ins: StandIns
) -> None:
    (cache / PLANS).mkdir(parents=True)
    for age in range(KEPT_PLANS):
        old = cache / PLANS / f"old-{age}"
        old.mkdir()
        os.utime(old, (1_000_000 - age, 1_000_000 - age))
    assert engine(repository, "--cache", str(cache)) == 0
    left = {folder.name for folder in (cache / PLANS).iterdir()}
    assert len(left) == KEPT_PLANS
    assert f"old-{KEPT_PLANS - 1}" not in left
    assert "old-0" in left
