from __future__ import annotations

from pathlib import Path

import pytest

from builder.pipelines import version_switch
from tests.builder.engine_stand_ins import StandIns


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
