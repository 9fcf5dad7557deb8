"""Leaving nothing behind when whoever started a program is gone, however that happened."""

from __future__ import annotations

import os
import signal
import threading

ENOUGH = 4096


def end_with_stdin() -> None:
    """End all processes of this group as soon as its standard input ends.

    To be called in the first of them, which leads the group.
    """
    threading.Thread(target=_wait_and_end, daemon=True).start()


def _wait_and_end() -> None:
    # Past Python's own buffer: who forks meanwhile has a child that waits for the buffer's lock.
    while os.read(0, ENOUGH):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)
