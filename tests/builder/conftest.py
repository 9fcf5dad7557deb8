from __future__ import annotations

import pytest

from builder.pipelines import version_switch


@pytest.fixture(autouse=True)
def no_server_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody polls the repositories of these tests, so a switch need not wait for anybody."""
    monkeypatch.setattr(version_switch, "LOOK_S", 0)
