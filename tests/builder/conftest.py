from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import builder.commands.start
from builder.cli import main
from builder.pipelines import version_switch
from tests.builder.engine_stand_ins import StandIns
from tests.builder.starting import Served
from tests.serving import serve_port_options


@pytest.fixture(autouse=True)
def no_server_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody polls the repositories of these tests, so a switch need not wait for anybody."""
    monkeypatch.setattr(version_switch, "LOOK_S", 0)


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIns:
    """trtexec and nvidia-smi on PATH, and no choice of a GPU in the environment."""
    made = StandIns(tmp_path / "bin")
    made.put_on_path(monkeypatch)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return made


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    found = Served()
    monkeypatch.setattr(builder.commands.start, "serve", found)
    return found


@pytest.fixture
def triton(tmp_path: Path) -> Path:
    """A program where a Triton would be, with the folder that is looked for beside it."""
    (tmp_path / "opt" / "backends" / "python").mkdir(parents=True)
    (tmp_path / "opt" / "bin").mkdir()
    program = tmp_path / "opt" / "bin" / "tritonserver"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def start(tmp_path: Path, triton: Path) -> Callable[..., int]:
    def run(repository: Path, *options: str) -> int:
        ports, _ = serve_port_options()
        cache = ("--cache", str(tmp_path / "cache"))
        where = ("--repository", str(repository), "--triton", str(triton))
        return main(["start", *where, *cache, *ports, *options])

    return run
