"""What watching costs the watcher, against real processes; without a Triton."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.serving.model_processes import Served, stubs
from builder.serving.supervision.process_signs import (
    how_it_ended,
    in_shared_memory,
    signs,
    threads_at_work,
    wait_address,
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[int]:
    """A process with a child that is called as Triton calls its models' processes."""
    model = tmp_path / "a_bls" / "1" / "model.py"
    model.parent.mkdir(parents=True)
    model.write_text("import time\ntime.sleep(600)\n")
    starts_it = "import subprocess, sys; subprocess.run([sys.executable, sys.argv[1]])"
    with subprocess.Popen([sys.executable, "-c", starts_it, str(model)]) as parent:
        try:
            yield parent.pid
        finally:
            for pid in (*stubs(parent.pid), parent.pid):
                os.kill(pid, signal.SIGKILL)


def test_watching_interns_nothing(server: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pathlib does: a table that is filled and emptied for days grows by holes."""
    deadline = time.monotonic() + 30
    while not (found := stubs(server)) or threads_at_work(next(iter(found))):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    interned: list[str] = []
    monkeypatch.setattr(sys, "intern", lambda text: interned.append(text) or text)
    str(Path("/a/b"))
    assert interned, "pathlib no longer interns: this test sees nothing"
    interned.clear()
    (child,) = found = stubs(server)
    assert found[child] == Served("a_bls", 1)
    state = signs(child)
    assert state is not None
    assert not state.stopped
    assert not threads_at_work(child)
    address = wait_address(child)
    assert address is None or not in_shared_memory(child, address)
    assert how_it_ended(child) == "exited with 0"
    assert not interned
