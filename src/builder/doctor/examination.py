"""Everything that is looked at, in the order in which it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from builder.doctor.case import Case
from builder.doctor.contract import look_at_contract, look_at_labels
from builder.doctor.environment import look_at_access, look_at_allocator
from builder.doctor.finding import CannotLook, Finding, Seen, Severity
from builder.doctor.holes import look_at_version
from builder.doctor.installation import (
    look_at_backends,
    look_at_packages,
    look_at_triton,
    look_at_versions,
)
from builder.doctor.leftovers import (
    look_for_half_published,
    look_for_regions,
    look_for_scratch_folders,
)
from builder.doctor.machine import look_at_load, look_at_ports, look_at_threads
from builder.doctor.pipelines import look_at_pipelines, look_at_plans
from builder.doctor.readiness import (
    look_at_processes,
    look_at_readiness,
    look_at_served_versions,
)
from builder.doctor.shared_memory import look_at_shared_memory
from builder.doctor.supervision import look_at_supervision
from builder.doctor.traffic import (
    look_at_backlog,
    look_at_batches,
    look_at_failures,
    look_at_queues,
)

# What is looked at, and by what. None comes back where there is no such thing to look at.
LOOKS: dict[str, Callable[[Case], Seen | None]] = {
    "shared memory": look_at_shared_memory,
    "cores": look_at_threads,
    "load": look_at_load,
    "ports": look_at_ports,
    "regions": look_for_regions,
    "folders": look_for_scratch_folders,
    "Triton": look_at_triton,
    "version": look_at_version,
    "packages": look_at_packages,
    "framewire": look_at_versions,
    "repository": look_at_pipelines,
    "changes": look_for_half_published,
    "backends": look_at_backends,
    "plans": look_at_plans,
    "labels": look_at_labels,
    "contract": look_at_contract,
    "server": look_at_readiness,
    "served": look_at_served_versions,
    "processes": look_at_processes,
    "supervisor": look_at_supervision,
    "allocator": look_at_allocator,
    "access": look_at_access,
    "batches": look_at_batches,
    "queues": look_at_queues,
    "backlog": look_at_backlog,
    "failures": look_at_failures,
}
WORST_FIRST = tuple(Severity)


@dataclass(frozen=True)
class Examination:
    """What an examination brought.

    Attributes:
        findings: the worst first.
        looked_at: in words, by what it was.
        not_looked_at: why not, by what it was.
    """

    findings: tuple[Finding, ...]
    looked_at: dict[str, str]
    not_looked_at: dict[str, str]

    @property
    def healthy(self) -> bool:
        """Whether there is nothing but hints."""
        return all(each.severity is Severity.HINT for each in self.findings)


def examine(case: Case) -> Examination:
    """Look at everything; what fails is told as not looked at."""
    looked_at, not_looked_at = dict[str, str](), dict[str, str]()
    findings: list[Finding] = []
    for what, look in LOOKS.items():
        try:
            seen = look(case)
        except CannotLook as reason:
            not_looked_at[what] = str(reason)
        except Exception as reason:  # noqa: BLE001 - whoever is ill needs all the other answers
            not_looked_at[what] = _one_line(f"{type(reason).__name__}: {reason}")
        else:
            if seen is not None:
                looked_at[what] = seen.words
                # The repository and the server that has it loaded may tell the same.
                findings += [each for each in seen.findings if each not in findings]
    findings.sort(key=lambda each: WORST_FIRST.index(each.severity))
    return Examination(tuple(findings), looked_at, not_looked_at)


def _one_line(text: str) -> str:
    return text.strip().splitlines()[0]
