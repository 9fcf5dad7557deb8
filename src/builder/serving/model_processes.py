"""The processes in which Triton runs Python models, and whether one of them died.

Triton goes on without a process that died, calls itself ready and fails its model's requests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from builder.serving.process_files import read, tasks
from builder.serving.version_states import VersionStates


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
        self._known = stubs(triton_pid)
        self._suspected: set[Served] = set()

    @property
    def suspects(self) -> bool:
        """Whether another call of :meth:`died` would confirm what this one saw, or not."""
        return bool(self._suspected)

    def died(
        self, states: Callable[[], VersionStates], instances: Callable[[str, int], int | None]
    ) -> Served | None:
        """Return what a process ran that ended unasked, or None.

        Triton ends processes itself, when it unloads a version or has loaded it anew; it does not
        call that version ready then, or has as many processes for it as its config asks for. To be
        sure, a death is told when two calls have seen it; while Triton does not answer it is
        remembered.

        Args:
            states: asks Triton for the states of its models; nothing when it does not answer.
            instances: asks Triton how many processes a version of a model is to have; None when
                it does not answer.
        """
        running = stubs(self._triton_pid)
        gone = {served for pid, served in self._known.items() if pid not in running}
        gone |= self._suspected
        self._known = running
        if not gone:
            return None
        loaded, count = states(), Counter(running.values())
        dead, unknown = set(), set(() if loaded else gone)
        for each in gone:
            if loaded.get(each.model, {}).get(each.version) != "READY":
                continue
            wanted = instances(each.model, each.version)
            if wanted is None:
                unknown.add(each)
            elif count[each] < wanted:
                dead.add(each)
        confirmed = dead & self._suspected
        self._suspected = dead | unknown
        return next(iter(confirmed), None)


def stubs(triton_pid: int) -> dict[int, Served]:
    """Return the process ids of Triton's Python model processes, and what each runs."""
    found = {}
    with suppress(OSError):
        for task in tasks(triton_pid):
            with suppress(OSError):
                for child in read(triton_pid, f"task/{task}/children").split():
                    if served := _served(int(child)):
                        found[int(child)] = served
    return found


def _served(pid: int) -> Served | None:
    # A stub's first argument is the path of its version's model.py. A dead process has none.
    with suppress(OSError, IndexError, ValueError):
        model, version, _ = read(pid, "cmdline").split("\0")[1].split("/")[-3:]
        return Served(model, int(version))
    return None
