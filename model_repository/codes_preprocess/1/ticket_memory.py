"""Memory in which the postprocess step tells processes that make frames which of them came."""

from __future__ import annotations

import mmap
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NAME = "framewire-frames-"


@dataclass(frozen=True)
class TicketMemory:
    """Memory of this process that others may find.

    It has no name in any folder, so nothing is left behind by a process that is killed.

    Attributes:
        file: its descriptor.
        serial: a random number that tells it from those of processes that had the same pid.
        returned: int64 ``[1]``, the highest ticket that came back.
    """

    file: int
    serial: int
    returned: NDArray[np.int64]


def make_memory() -> TicketMemory:
    """Make the memory of this process, for as long as it lives.

    Raises:
        OSError: there is none to be had.
    """
    serial = secrets.randbits(62)
    file = os.memfd_create(f"{NAME}{serial}")
    os.ftruncate(file, mmap.PAGESIZE)
    return TicketMemory(file, serial, _mapped(file))


def open_memory(pid: int, file: int, serial: int) -> NDArray[np.int64] | None:
    """Return ``returned`` of a process' memory; None where it is gone or may not be opened."""
    path = Path(f"/proc/{pid}/fd/{file}")
    try:
        # Never any other file that has come to have this number.
        if not str(path.readlink()).startswith(f"/memfd:{NAME}{serial} "):
            return None
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            return _mapped(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        return None


def _mapped(file: int) -> NDArray[np.int64]:
    return np.frombuffer(mmap.mmap(file, mmap.PAGESIZE), np.int64, count=1)
