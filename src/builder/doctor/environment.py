"""How a running Triton was started: its allocator, its threads, who may call what."""

from __future__ import annotations

import shlex

from builder.doctor.case import Case
from builder.doctor.finding import CannotLook, Finding, Seen, hint, listed, warning
from builder.doctor.processes import environment_of, option_of
from builder.doctor.server import RunningTriton
from builder.serving.access import ADMIN_KEY_VARIABLE
from builder.serving.server_options import ALLOCATOR, ONE_THREAD

# Preloaded, they keep the pages of a frame by themselves.
OTHER_ALLOCATORS = ("jemalloc", "tcmalloc", "mimalloc")
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - Triton's default
# How its options say no.
NO = ("false", "False", "0")
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
    pid = running.process
    if reachable := open_endpoints(pid, address):
        findings.append(
            warning(
                "open-to-all",
                f"the server at {running.url} listens on {listed(reachable)} and lets everybody "
                "who reaches it load models and register shared memory",
                "`framewire serve --restrict`, or an --address that only its clients reach",
            )
        )
    restricted = option_of(pid, "--grpc-restricted-protocol") is not None
    who = "with the admin key for what changes it" if restricted else "open to all who reach it"
    return Seen(f"listens on {address}, {who}", tuple(findings))


def open_endpoints(pid: int, grpc_address: str) -> list[str]:
    """Return the addresses, with protocol, where others than this machine's may change a server."""
    found = []
    # Who needs a certificate is known; Triton's HTTP has none.
    kept = option_of(pid, "--grpc-restricted-protocol") or option_of(pid, "--grpc-use-ssl-mutual")
    if not is_loopback(grpc_address) and kept in {None, *NO}:
        found.append(f"{grpc_address} (gRPC)")
    http_address = option_of(pid, "--http-address") or EVERY_ADDRESS
    kept = option_of(pid, "--http-restricted-api")
    if not is_loopback(http_address) and not kept and option_of(pid, "--allow-http") not in NO:
        found.append(f"{http_address} (HTTP)")
    return found


def listening_address(running: RunningTriton) -> str | None:
    """Return the address that a server listens on; None where its process is not to be seen."""
    if running.pid is None:
        return None
    return option_of(running.pid, "--grpc-address") or EVERY_ADDRESS


def is_loopback(address: str) -> bool:
    """Return whether only this machine reaches an address."""
    return address.startswith(LOOPBACK)
