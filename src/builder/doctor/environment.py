"""How a running Triton was started: its allocator, its threads, who may call what."""

from __future__ import annotations

import shlex

from builder.doctor.case import Case
from builder.doctor.finding import CannotLook, Finding, Seen, hint, warning
from builder.doctor.processes import environment_of, option_of
from builder.doctor.server import RunningTriton
from builder.serving.access import ADMIN_KEY_VARIABLE
from builder.serving.server_options import ALLOCATOR, ONE_THREAD

# Preloaded, they keep the pages of a frame by themselves.
OTHER_ALLOCATORS = ("jemalloc", "tcmalloc", "mimalloc")
LOOPBACK = ("127.", "localhost", "::1", "[::1]")


def look_at_allocator(case: Case) -> Seen | None:
    """Look whether the server's allocator keeps the memory of a frame for the next."""
    running = case.running
    if running is None:
        return None
    pid = running.process
    environment = _environment(pid)
    findings = []
    preloaded = environment.get("LD_PRELOAD", "")
    other = next((each for each in OTHER_ALLOCATORS if each in preloaded), None)
    missing = {name: value for name, value in ALLOCATOR.items() if name not in environment}
    if missing and other is None:
        findings.append(
            warning(
                "allocator-untuned",
                f"tritonserver (process {pid}) runs without {', '.join(missing)}: a frame's memory "
                "goes back to the kernel and is faulted in again for the next one, which can "
                "double the time of decoding",
                _start_with(missing),
            )
        )
    threads = {name: value for name, value in ONE_THREAD.items() if name not in environment}
    if threads:
        findings.append(
            warning(
                "threads-unlimited",
                f"tritonserver (process {pid}) runs without {', '.join(threads)}: libraries may "
                "start a thread for each core in each of its processes",
                _start_with(threads),
            )
        )
    how = f"{other} is preloaded" if other else "as `framewire serve` sets it"
    return Seen("not as `framewire serve` sets it" if findings else how, tuple(findings))


def _start_with(variables: dict[str, str]) -> str:
    given = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    return f"`framewire serve` sets them; before another start `export {given}`"


def _environment(pid: int) -> dict[str, str]:
    try:
        return environment_of(pid)
    except OSError as reason:
        raise CannotLook(
            f"the environment of process {pid} cannot be read ({reason.strerror}): run this as its "
            "user"
        ) from reason


def look_at_access(case: Case) -> Seen | None:
    """Look at who may reach the server, and whether it tells this caller its statistics."""
    running = case.running
    if running is None:
        return None
    findings: list[Finding] = []
    if ADMIN_KEY_VARIABLE in (case.watched.unseen or ""):
        findings.append(
            hint(
                "statistics-restricted",
                f"{running.url} tells its statistics and models only to those who have its admin "
                "key: batches, queues and failures were not looked at",
                f"put the key into the variable {ADMIN_KEY_VARIABLE} and run this again",
            )
        )
    address = listening_address(running)
    if address is None:
        return Seen("where it listens is not to be seen from here", tuple(findings))
    restricted = option_of(running.process, "--grpc-restricted-protocol") is not None
    if not is_loopback(address) and not restricted:
        findings.append(
            warning(
                "open-to-all",
                f"the server at {running.url} listens on {address} and lets everybody who reaches "
                "it load models and register shared memory",
                "`framewire serve --restrict`, or an --address that only its clients reach",
            )
        )
    who = "with the admin key for what changes it" if restricted else "open to all who reach it"
    return Seen(f"listens on {address}, {who}", tuple(findings))


def listening_address(running: RunningTriton) -> str | None:
    """Return the address that a server listens on; None where its process is not to be seen."""
    if running.pid is None:
        return None
    return option_of(running.pid, "--grpc-address") or "0.0.0.0"  # noqa: S104 - Triton's default


def is_loopback(address: str) -> bool:
    """Return whether only this machine reaches an address."""
    return address.startswith(LOOPBACK)
