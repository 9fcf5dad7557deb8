"""The machine's cores and ports."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tritonclient.grpc import model_config_pb2 as pb

from builder.benchmark.processes import SERVER
from builder.doctor.case import Case
from builder.doctor.finding import ELSEWHERE, CannotLook, Finding, Seen, hint, listed, warning
from builder.doctor.processes import listener_of, name_of, parent_of
from builder.doctor.supervision import told_to_probes
from builder.errors import BuilderError
from builder.pipelines.config_files import read_config
from builder.pipelines.manifest import read_manifest
from builder.serving.model_processes import stubs
from thin_client.contract import model_names

CGROUP_QUOTAS = (
    (Path("/sys/fs/cgroup/cpu.max"),),
    (
        Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
        Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
    ),
)
# More threads than cores overlap the time that some of them wait. Beyond this they fight.
MOST_THREADS_OF_CORE = 2
# What others leave of the cores that a server may use, below which it is said.
LEAST_LEFT = 0.5
# A process that keeps less of a core busy is nobody's load.
BUSY_CORES = 0.1


def allowed_cores(pid: int | None = None) -> int:
    """Return how many cores a process may use: those it may run on, within the container's quota.

    Args:
        pid: of the process; None for this one.
    """
    try:
        cores = len(os.sched_getaffinity(pid or 0))
    except OSError:
        cores = len(os.sched_getaffinity(0))
    for files in CGROUP_QUOTAS:
        # No such file, or "max": nothing limits it.
        with suppress(OSError, ValueError):
            quota, period = " ".join(file.read_text() for file in files).split()
            if int(quota) > 0:
                cores = min(cores, max(1, round(int(quota) / int(period))))
    return cores


def look_at_threads(case: Case) -> Seen:
    """Compare processes and threads that decode with the cores there are for them."""
    if case.elsewhere:
        raise CannotLook(ELSEWHERE)
    running = case.running
    cores = allowed_cores(running.pid if running else None)
    findings: list[Finding] = []
    for name in case.pipelines():
        findings += _oversubscribed_in_repository(case, name, cores)
    if running is not None:
        with suppress(CannotLook):
            for name in running.pipelines:
                for model in _decoding(name):
                    if config := running.config(model):
                        findings += _oversubscribed(name, model, _instances(config), 1, cores)
    words = f"{cores} {'cores' if cores > 1 else 'core'} to use"
    enough = ", enough for the processes that decode" if not findings else ""
    return Seen(words + enough, tuple(findings))


def _oversubscribed_in_repository(case: Case, name: str, cores: int) -> Iterator[Finding]:
    repository = case.the_repository()
    try:
        threads = max(1, read_manifest(repository, name).decode_threads)
        for model in _decoding(name):
            instances = _instances(read_config(repository / model))
            yield from _oversubscribed(name, model, instances, threads, cores)
    except BuilderError:
        return  # told by the look at the pipeline itself


def _decoding(name: str) -> tuple[str, str]:
    names = model_names(name)
    return names.preprocess, names.bls


def _instances(config: pb.ModelConfig) -> int:
    return sum(group.count for group in config.instance_group) or 1


def _oversubscribed(
    name: str, model: str, instances: int, threads: int, cores: int
) -> Iterator[Finding]:
    wanted = instances * threads
    # Two processes on one core are the default, and one waits for the network while one decodes.
    if wanted <= max(MOST_THREADS_OF_CORE, MOST_THREADS_OF_CORE * cores):
        return
    each = f" of {threads} threads each" if threads > 1 else ""
    share = " --decode-threads 0" if threads > 1 else ""
    yield warning(
        "cores-oversubscribed",
        f"{model} decodes in {instances} processes{each}, {wanted} threads on {cores} "
        f"{'cores' if cores > 1 else 'core'}: they take turns and each frame waits longer",
        f"`framewire build MODEL --name {name} --instances {min(cores, 2)}{share}`, or `framewire "
        "tune` finds what suits this machine",
    )


def look_at_load(case: Case) -> Seen:
    """Look at what other programs leave of the cores, while it is watched."""
    running = case.running
    if case.elsewhere:
        raise CannotLook(ELSEWHERE)
    pid = running.pid if running else None
    own = {os.getpid(), pid, *(stubs(pid) if pid else ())}
    seen = case.watched
    ours = sum(cores for process, cores in seen.process_cores.items() if process in own)
    others = max(0.0, seen.busy_cores - ours)
    allowed = allowed_cores(pid)
    left = min(float(allowed), seen.machine_cores - others)
    words = (
        f"of {seen.machine_cores} cores the server keeps {ours:.1f} busy and others {others:.1f}"
        if pid
        else f"of {seen.machine_cores} cores {others:.1f} are busy"
    )
    if left >= LEAST_LEFT * allowed:
        return Seen(words)
    busiest = sorted(
        ((cores, process) for process, cores in seen.process_cores.items() if process not in own),
        reverse=True,
    )[:3]
    named = [
        f"{name_of(process)} (process {process}) {cores:.1f}"
        for cores, process in busiest
        if cores >= BUSY_CORES
    ]
    return Seen(
        words,
        (
            hint(
                "machine-busy",
                f"other programs keep {others:.1f} of this machine's {seen.machine_cores} cores "
                f"busy{f', most of it {listed(named)}' if named else ''}, which leaves "
                f"{max(left, 0):.1f} of the {allowed} that the server may use",
                "`top` shows them: stop them or run them elsewhere, or give the server cores of "
                "its own with `docker run --cpuset-cpus`",
            ),
        ),
    )


def look_at_ports(case: Case) -> Seen | None:
    """Look for strangers on the ports that `framewire serve` is to listen on."""
    if not case.ports:
        return None
    server = case.server.pid if case.server else None
    # `framewire serve` has the health port, and is the parent of its Triton.
    ours = {server, parent_of(server)} if server else _supervisor(case)
    findings, taken = [], 0
    for purpose, port in case.ports.items():
        if _is_free(case.address, port):
            continue
        taken += 1
        owner = listener_of(port)
        if owner is not None and owner in ours:
            continue
        if owner is None and server is None and case.running is not None:
            continue  # a server behind Docker's proxy has all of its ports there
        who = f"{name_of(owner)} (process {owner})" if owner else "a program of somebody else"
        mend = f"stop that program, or `framewire serve --{purpose}-port` with another number"
        if owner and name_of(owner) == SERVER:
            mend = f"`framewire doctor --url` with its address; or {mend}"
        findings.append(
            warning(
                "port-taken",
                f"port {port}, where `framewire serve` is to serve {purpose}, is taken by {who}",
                mend,
            )
        )
    numbers = listed([str(port) for port in case.ports.values()])
    words = f"{numbers} are free" if not taken else f"{numbers} are the server's"
    return Seen(
        words if not findings else f"{numbers}, of which {taken} are taken", tuple(findings)
    )


def _supervisor(case: Case) -> set[int | None]:
    """Return the process id of a supervisor that is about to have a Triton, and told elsewhere."""
    port = case.ports["health"]
    told = told_to_probes(case.address, port)
    return {listener_of(port)} if told and not told["ready"] else set()


def _is_free(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a connection that is still closing does not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except PermissionError:
            return True  # a port below 1024 is root's, whether or not somebody has it
        except OSError:
            return False
    return True
