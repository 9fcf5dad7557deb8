"""Processes of this machine, read from /proc: what they are, map, hold and use (see proc(5))."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from builder.benchmark.processes import SERVER
from builder.benchmark.running import NAME_BYTES, listening_sockets

PROC = Path("/proc")
LOCKS = PROC / "locks"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Of /proc/PID/stat after the name: the state, the parent, user and system time in ticks.
STATE_FIELD, PARENT_FIELD, USER_FIELD, SYSTEM_FIELD = 0, 1, 11, 12
# Of Triton and of the processes of its Python models, as far as the kernel keeps them.
TRITON_NAMES = frozenset({SERVER[:NAME_BYTES], "triton_python_backend_stub"[:NAME_BYTES]})
# Of the line "Uid:" of /proc/PID/status: real, effective, saved and file system's.
EFFECTIVE_FIELD = 2
# Of a line of /proc/locks: the kind, and device and inode of the file as major:minor:inode.
LOCK_KIND_FIELD, LOCK_FILE_FIELD = 1, 5


def all_pids() -> Iterator[int]:
    """Yield the ids of the processes that can be seen."""
    for folder in PROC.iterdir():
        if folder.name.isdecimal():
            yield int(folder.name)


def name_of(pid: int) -> str:
    """Return a process's name as the kernel has it, 15 characters at most; "" when it is gone."""
    with suppress(OSError):
        return (PROC / str(pid) / "comm").read_text().strip()
    return ""


def command_line(pid: int) -> list[str]:
    """Return a process's arguments; none when it is gone, or is not to be seen."""
    with suppress(OSError):
        words = (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
        return [word.decode(errors="replace") for word in words if word]
    return []


def option_of(pid: int, option: str) -> str | None:
    """Return the value of ``--option=value`` or ``--option value`` on a process's command line."""
    words = iter(command_line(pid))
    for word in words:
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
        if word == option:
            return next(words, None)
    return None


def environment_of(pid: int) -> dict[str, str]:
    """Return the environment that a process was started with.

    Raises:
        OSError: it is another user's, or gone.
    """
    pairs = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    parted = (pair.decode(errors="replace").partition("=") for pair in pairs if pair)
    return {name: value for name, _, value in parted}


def state_of(pid: int) -> str:
    """Return the letter of a process's state, as T for stopped and Z for dead; "" when gone."""
    fields = _stat(pid)
    return fields[STATE_FIELD] if fields else ""


def cpu_seconds_of_all() -> dict[int, float]:
    """Return the CPU seconds, user and system, of every process that can be seen."""
    found = {}
    for pid in all_pids():
        if fields := _stat(pid):
            found[pid] = (int(fields[USER_FIELD]) + int(fields[SYSTEM_FIELD])) / TICKS_PER_S
    return found


def _stat(pid: int) -> list[str]:
    with suppress(OSError):
        # The name stands in parentheses and may hold anything.
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return []


def mapped_in(folder: Path) -> tuple[set[str], set[int]]:
    """Return the names of a folder's files that some process has in its memory.

    And the ids of users whose Triton or model processes may not be looked at: the folder may hold
    what those have. Other processes that hide, as agents with keys do, have nothing of models.
    """
    names, hidden, prefix = set[str](), set[int](), f"{folder}/"
    for pid in all_pids():
        process = PROC / str(pid)
        with suppress(OSError):  # gone meanwhile
            try:
                lines = (process / "maps").read_text(errors="replace").splitlines()
            except PermissionError:
                if name_of(pid) in TRITON_NAMES:
                    hidden.add(effective_user(pid))
                continue
            for line in lines:
                at = line.find(prefix)
                if at >= 0:
                    names.add(line[at + len(prefix) :].removesuffix(" (deleted)"))
    return names, hidden


def effective_user(pid: int) -> int:
    """Return the id of the user as whom a process makes files.

    Raises:
        OSError: it is gone.
    """
    for line in (PROC / str(pid) / "status").read_text(errors="replace").splitlines():
        if line.startswith("Uid:"):
            return int(line.split()[EFFECTIVE_FIELD])
    raise ProcessLookupError


def is_locked(path: Path) -> bool:
    """Return whether some process holds a flock on a file or folder.

    Locks of other containers are not in /proc/locks, and file systems such as btrfs are called
    differently there: where none is seen it is tried, for no longer than that takes.

    Raises:
        OSError: it is gone, or must not be opened.
    """
    found = path.stat()
    wanted = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    with suppress(OSError, IndexError):
        for line in LOCKS.read_text().splitlines():
            fields = line.split()
            if fields[LOCK_KIND_FIELD] == "FLOCK" and fields[LOCK_FILE_FIELD] == wanted:
                return True
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def parent_of(pid: int) -> int | None:
    """Return the id of the process that started another; None when that is gone."""
    fields = _stat(pid)
    return int(fields[PARENT_FIELD]) if fields else None


def listening_ports(pid: int | None) -> list[int]:
    """Return the TCP ports on which a process listens, ascending."""
    held = set()
    with suppress(OSError):
        for file in (PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                held.add(str(file.readlink()))
    return [port for port, inode in listening_sockets() if f"socket:[{inode}]" in held]


def listener_of(port: int) -> int | None:
    """Return the id of the process that listens on a TCP port, or None where it is not seen."""
    sockets = {f"socket:[{inode}]" for at, inode in listening_sockets() if at == port}
    for pid in all_pids() if sockets else ():
        with suppress(OSError):
            if any(str(file.readlink()) in sockets for file in (PROC / str(pid) / "fd").iterdir()):
                return pid
    return None
