"""The processes in which Triton runs Python models, and whether one of them died.

Triton goes on without a process that died, calls itself ready and fails its model's requests.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from builder.running_server import VersionStates


@dataclass(frozen=True)
class Served:
    """What a process runs.

    Attributes:
        model: Triton's name of it.
        version: of the model.
    """

    model: str
    version: int


class ModelProcesses:
    """The model processes of a running Triton.

    Args:
        triton_pid: of ``tritonserver``, whose children they are.
    """

    def __init__(self, triton_pid: int) -> None:
        self._triton_pid = triton_pid
        self._known = _children(triton_pid)
        self._ended: set[int] = set()

    def died(self, states: Callable[[], VersionStates]) -> Served | None:
        """Return what a process ran that ended unasked since the last call, or None.

        Triton ends the process of a version that it unloads or loads anew, and buries it: a dead
        one that is still there the next time was not ended by Triton.

        Args:
            states: asks Triton for the states of its models.
        """
        # A dead process no longer says what it ran.
        present = {
            pid: self._known.get(pid, served) for pid, served in _children(self._triton_pid).items()
        }
        ended = {pid for pid in (*self._known, *present) if not _running(pid)}
        unburied = ended & self._ended & set(present)
        vanished = {
            pid
            for pid, served in self._known.items()
            if pid not in present and served not in present.values()
        }
        known, self._known, self._ended = self._known | present, present, ended
        if unburied:
            return known[unburied.pop()]
        ready = states() if vanished else {}
        for pid in vanished:
            served = known[pid]
            if ready.get(served.model, {}).get(served.version) == "READY":
                return served
        return None


def _children(pid: int) -> dict[int, Served]:
    pids: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                pids += [int(child) for child in (task / "children").read_text().split()]
    return {child: _served(child) for child in pids}


def _served(pid: int) -> Served:
    # A stub's first argument is the path of its version's model.py.
    with suppress(OSError, IndexError, ValueError):
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        model, version = Path(arguments[1].decode()).parts[-3:-1]
        return Served(model, int(version))
    return Served("(unknown)", 0)


def _running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
