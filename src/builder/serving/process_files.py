"""Files of ``/proc/PID``, for those that read them many times a second.

Without pathlib, which interns every part of a path: watching a server for days would fill and
empty the interpreter's table of interned strings without end. Every so often Python copies that
table, which left a hole of 1.7 MB in the heap (docs/performance.md).
"""

from __future__ import annotations

import os


def read(pid: int, name: str) -> str:
    """Return the text of a file.

    Args:
        pid: of a process.
        name: of the file in the process's folder.

    Raises:
        OSError: there is no such process, or it may not be asked.
    """
    with open(f"/proc/{pid}/{name}", errors="replace") as file:  # noqa: PTH123 - see above
        return file.read()


def tasks(pid: int) -> list[str]:
    """Return the ids of a process's threads.

    Raises:
        OSError: as for :func:`read`.
    """
    return os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - see above
