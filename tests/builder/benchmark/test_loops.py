from __future__ import annotations

from pathlib import Path

import pytest

from builder.benchmark import loops
from builder.benchmark.loops import Loops
from builder.errors import BenchmarkError


def decode_limit(folder: Path, program: str) -> None:
    """Run a program in the place of the loop that decodes."""
    (folder / "decode_limit.py").write_text(program)
    Loops(folder, seconds=0.1, workers=1).decode_limit(folder, folder, workers=1)


def test_a_loop_that_hangs_is_ended_and_tells_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "STARTING_S", 1)
    program = "import time\n\ndef waits_for_ever():\n    time.sleep(3600)\n\nwaits_for_ever()\n"
    with pytest.raises(BenchmarkError, match=r"did not end within 1 s(.|\n)*in waits_for_ever"):
        decode_limit(tmp_path, program)


def test_what_a_loop_fails_of_is_in_the_sentence(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"failed \(RuntimeError: no images\)"):
        decode_limit(tmp_path, "raise RuntimeError('no images')")
