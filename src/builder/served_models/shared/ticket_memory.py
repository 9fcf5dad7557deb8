"""Memory of a process that makes frames, in which the steps after the network write.

The postprocess and detect steps tell which of its frames came, and the detect step which streams of
the process may have the network look at a frame.
"""

from __future__ import annotations

import mmap
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NAME = "framewire-frames-"
# Where what lies: the highest ticket that came back; looks that new streams may take; and from
# there on, for each place, how many looks its stream may have taken in all.
RETURNED, ROOM, ALLOWED = 0, 1, 2
INT64_BYTES = 8


@dataclass(frozen=True)
class TicketMemory:
    """Memory of this process that others may find.

    It has no name in any folder, so nothing is left behind by a process that is killed.

    Attributes:
        file: its descriptor.
        serial: a random number that tells it from those of processes that had the same pid.
        words: int64 ``[2 + places]``, see above.
    """

    file: int
    serial: int
    words: NDArray[np.int64]

    @property
    def returned(self) -> NDArray[np.int64]:
        """Return int64 ``[1]``, the highest ticket that came back."""
        return self.words[RETURNED : RETURNED + 1]


def make_memory(places: int = 0) -> TicketMemory:
    """Make the memory of this process, for as long as it lives.

    Args:
        places: of streams.

    Raises:
        OSError: there is none to be had.
    """
    serial = secrets.randbits(62)
    file = os.memfd_create(f"{NAME}{serial}")
    needed = (ALLOWED + places) * INT64_BYTES
    os.ftruncate(file, -(-needed // mmap.PAGESIZE) * mmap.PAGESIZE)
    return TicketMemory(file, serial, _mapped(file)[: ALLOWED + places])


def open_memory(pid: int, file: int, serial: int) -> NDArray[np.int64] | None:
    """Return the words of a process' memory; None where it is gone or may not be opened."""
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
    return np.frombuffer(mmap.mmap(file, os.fstat(file).st_size), np.int64)
