"""Whether a server and its pipelines are ready, and why not."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from builder.doctor.case import Case
from builder.doctor.finding import (
    ELSEWHERE,
    CannotLook,
    Finding,
    Seen,
    error,
    hint,
    listed,
    warning,
)
from builder.doctor.processes import option_of, state_of
from builder.doctor.server import RunningTriton
from builder.pipelines.manifest import active_version
from builder.pipelines.pipeline_models import Streams, all_names, models_in, models_of
from builder.serving.load_failures import UNLOADED, short_reason
from builder.serving.model_processes import Served, stubs
from thin_client.contract import model_names

STOPPED = ("T", "t")
EXPLICIT = "explicit"
NOT_LOADED = "not loaded"
# What tells nothing of why a model is not ready.
REASONLESS = (NOT_LOADED, UNLOADED)


def look_at_readiness(case: Case) -> Seen | None:
    """Look whether the server answers and every model of every pipeline is ready."""
    server = case.server
    if server is None:
        return None
    if case.silent:
        return Seen(f"{server.url} does not answer", (_silent(server, case.silent),))
    try:
        names = sorted({*server.pipelines, *_of_its_repository(case, server)})
        findings = list(_not_ready(server, names))
    except CannotLook:
        # Without the admin key there is no list of models: ask for those of the repository.
        findings, names = list(_not_ready_of_repository(case, server)), list(case.pipelines())
    if not findings and not server.ready:
        findings.append(
            error(
                "server-not-ready",
                f"the Triton at {server.url} runs and does not call itself ready: it starts or "
                "stops, or a model of somebody else's did not load",
                "wait a minute and ask again; `framewire serve --verbose` shows what it does",
            )
        )
    words = f"Triton {server.version} at {server.url}"
    if findings:
        return Seen(words, tuple(findings))
    return Seen(f"{words} is ready, with {', '.join(names) or 'no pipeline'}")


def _silent(server: RunningTriton, why: str) -> Finding:
    if server.pid is None:
        return error(
            "server-unreachable",
            f"no Triton answers on gRPC at {server.url} ({why})",
            "`framewire serve` starts one here; else check host, port and TLS of --url",
        )
    there = f"tritonserver (process {server.pid}) listens at {server.url}"
    if state_of(server.pid) in STOPPED:
        return error(
            "process-stopped",
            f"{there}, was stopped by a signal and answers nothing",
            f"`kill -CONT {server.pid}`, or start the server again",
        )
    mend = f"`kill {server.pid}`, and `kill -9` where that does not end it, and start it again"
    if option_of(server.pid, "--grpc-use-ssl") == "true":
        mend = (
            f"`framewire doctor --url grpcs://{server.connection.target}` with "
            "--root-certificates, and --private-key and --certificate-chain where it wants to "
            "know its callers: it speaks TLS"
        )
    return error("server-unreachable", f"{there} and does not answer ({why})", mend)


def _of_its_repository(case: Case, server: RunningTriton) -> tuple[str, ...]:
    """Return the pipelines of the repository that it serves, also those that it was not given."""
    if case.repository is None or server.repository != case.repository.resolve():
        return ()
    return all_names(case.repository)


def _not_ready(server: RunningTriton, names: Sequence[str]) -> Iterator[Finding]:
    if not server.index:
        yield error(
            "no-pipelines",
            f"the Triton at {server.url} has no models",
            "`framewire serve --repository` with the folder that `framewire build` made",
        )
    for name in names:
        names_of = model_names(name)
        streams = Streams.NONE
        if names_of.stream in server.index:
            streams = Streams.DETECT if names_of.detect in server.index else Streams.NETWORK
        unready = {
            model: _reason(server.index.get(model, {}))
            for model in models_of(name, streams=streams)
            if not server.ready_versions(model)
        }
        yield from _unready(server, name, unready)


def _reason(versions: Mapping[int, tuple[str, str]]) -> str:
    reasons = [short_reason(reason) for _, reason in versions.values() if reason]
    states = [state.lower() for state, _ in versions.values() if state]
    return (reasons or states or [NOT_LOADED])[-1]


def _not_ready_of_repository(case: Case, server: RunningTriton) -> Iterator[Finding]:
    why = "it says why only to those who have the admin key"
    for name in case.pipelines():
        models = models_in(case.the_repository(), name)
        unready = {model: why for model in models if not server.model_ready(model)}
        yield from _unready(server, name, unready)


def _unready(server: RunningTriton, name: str, unready: Mapping[str, str]) -> Iterator[Finding]:
    """Yield one finding for all models of a pipeline that are not ready, with why."""
    if not unready:
        return
    # The last are steps, and what calls them is not ready because they are not; and the others are
    # unloaded where one of them did not load.
    last_first = list(unready.items())[::-1]
    (model, why), *others = sorted(last_first, key=lambda each: each[1] in REASONLESS)
    more = f", nor {'is' if len(others) == 1 else 'are'} {listed([each for each, _ in others])}"
    yield error(
        "pipeline-not-ready",
        f"the pipeline {name} at {server.url} cannot answer, because {model} is not ready "
        f"({why}){more if others else ''}",
        f"mend what is wrong with it, then `framewire load {name} --url {server.url}` loads it "
        "beside the others, where Triton's control is explicit; else start the server again",
    )


def look_at_processes(case: Case) -> Seen | None:
    """Look for processes of Python models that died or hang in a signal."""
    running = case.running
    if running is None:
        return None
    alive = stubs(running.process)
    stopped = {pid: served for pid, served in alive.items() if state_of(pid) in STOPPED}
    count = Counter(served for pid, served in alive.items() if state_of(pid) != "Z")
    findings = []
    for pid, served in stopped.items():
        findings.append(
            error(
                "process-stopped",
                f"process {pid} of {served.model} was stopped by a signal and answers nothing",
                f"`kill -CONT {pid}`, or start the server again",
            )
        )
    try:
        models = running.index
    except CannotLook:
        if findings:
            return Seen("which of them there should be is not to be seen", tuple(findings))
        raise
    wanted = 0
    for model in models:
        config = running.config(model)
        if config is None or config.backend != "python":
            continue
        instances = sum(group.count for group in config.instance_group) or 1
        wanted += instances
        for version in running.ready_versions(model):
            if (has := count[Served(model, version)]) < instances:
                findings.append(
                    error(
                        "process-died",
                        f"{model} has {has} of its {instances} processes left, and Triton, which "
                        "calls it ready all the same, starts none again: its requests fail",
                        "start the server again (`framewire serve` does so by itself)",
                    )
                )
    words = f"{wanted} of Python models are wanted"
    return Seen(words if findings else f"{words}, and alive", tuple(findings))


def look_at_served_versions(case: Case) -> Seen | None:
    """Compare what the server has loaded with the repository that it serves."""
    running, repository = case.running, case.repository
    if running is None or repository is None:
        return None
    if running.repository is None:
        raise CannotLook(ELSEWHERE)
    if running.repository != repository.resolve():
        return Seen(
            f"{running.url} serves another repository",
            (
                hint(
                    "another-repository",
                    f"the server at {running.url} serves {running.repository}, and {repository} "
                    "was examined",
                    f"`framewire doctor --repository {shlex.quote(str(running.repository))}`",
                ),
            ),
        )
    findings = []
    for name in case.pipelines():
        active, ready = active_version(repository, name), running.ready_versions(name)
        if ready and active not in ready:
            findings.append(
                warning(
                    "server-behind",
                    f"{running.url} serves version {', '.join(map(str, ready))} of {name}, and "
                    f"version {active} is the repository's",
                    _reload(running, repository.as_posix(), name),
                )
            )
    words = f"{running.url} serves {repository}"
    return Seen(words if findings else f"{words}, in its active versions", tuple(findings))


def _reload(running: RunningTriton, repository: str, name: str) -> str:
    if option_of(running.process, "--model-control-mode") in {EXPLICIT, "poll"}:
        where = f"--repository {shlex.quote(repository)} --url {running.url}"
        return f"`framewire load {name} {where}`"
    return "start the server again; with `framewire serve --control explicit` it can be told"
