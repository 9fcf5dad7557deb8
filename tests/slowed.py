"""A network that computes as it should and takes its time."""

from __future__ import annotations

from pathlib import Path

from thin_client.contract import model_names

SLEEP = """

_infer = Network.infer


def _slow(self, frames, *, alone):
    import time

    time.sleep({delay_s})
    return _infer(self, frames, alone=alone)


Network.infer = _slow
"""


def slow_down(repository: Path, pipeline: str, delay_s: float) -> None:
    """Have the network in Python of a pipeline's first version wait before each frame it runs."""
    runtime = repository / model_names(pipeline).network / "1" / "runtime.py"
    runtime.write_text(runtime.read_text() + SLEEP.format(delay_s=delay_s))
