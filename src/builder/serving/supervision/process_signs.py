"""What the kernel tells about a process: whether it lives, computes, was stopped, or only waits."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass

from builder.serving.process_files import read, tasks
from builder.serving.shared_memory import SHM_FOLDER

# Of the fields of /proc/PID/stat that follow the name of the program; proc(5) counts from 1 and has
# two before them.
STATE, USER_TICKS, SYSTEM_TICKS, EXIT_CODE = 0, 11, 12, 49
STOPPED = frozenset("Tt")
DEAD = frozenset("ZX")
# On a core or waiting for one; in the middle of reading a disk.
AT_WORK = frozenset("RD")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Signs:
    """A process at one moment.

    Attributes:
        state: of its main thread, a letter as in proc(5).
        ticks: CPU time of all its threads, in ``1 / TICKS_PER_S`` seconds.
        turns: how often its main thread got a core; 0 where the kernel does not count.
    """

    state: str
    ticks: int
    turns: int

    @property
    def stopped(self) -> bool:
        """Whether a signal or a debugger stopped it."""
        return self.state in STOPPED


def signs(pid: int) -> Signs | None:
    """Return what a process is like, or None when there is none, or a dead one."""
    fields = _stat(pid, "stat")
    if not fields or fields[STATE] in DEAD:
        return None
    turns = 0
    with suppress(OSError, ValueError, IndexError):
        turns = int(read(pid, "schedstat").split()[2])
    return Signs(fields[STATE], int(fields[USER_TICKS]) + int(fields[SYSTEM_TICKS]), turns)


def threads_at_work(pid: int) -> bool:
    """Return whether a thread of a process computes, wants to, or reads a disk."""
    with suppress(OSError):
        for thread in tasks(pid):
            fields = _stat(pid, f"task/{thread}/stat")
            if fields and fields[STATE] in AT_WORK:
                return True
    return False


def wait_address(pid: int) -> int | None:
    """Return the address at which a process's main thread waits in the kernel.

    It is the first argument of the system call: for a lock or a semaphore, where that lies.

    Returns:
        None where it does not wait, or the kernel does not tell us.
    """
    with suppress(OSError, ValueError, IndexError):
        return int(read(pid, "syscall").split()[1], 16)
    return None


def in_shared_memory(pid: int, address: int) -> bool:
    """Return whether an address of a process lies in what it shares through /dev/shm."""
    with suppress(OSError, ValueError):
        for line in read(pid, "maps").splitlines():
            if f"{SHM_FOLDER}/" in line:
                first, last = (int(end, 16) for end in line.split()[0].split("-"))
                if first <= address < last:
                    return True
    return False


def how_it_ended(pid: int) -> str:
    """Return how a process ended that its parent has not asked about yet."""
    with suppress(OSError, ValueError, IndexError):
        code = int(_stat(pid, "stat")[EXIT_CODE])
        if killed_by := code & 0x7F:
            return f"was killed ({signal.Signals(killed_by).name})"
        return f"exited with {code >> 8}"
    return "ended"


def _stat(pid: int, name: str) -> list[str]:
    with suppress(OSError, IndexError):
        # The name stands in brackets and may hold anything.
        return read(pid, name).rpartition(")")[2].split()
    return []
