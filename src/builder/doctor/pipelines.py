"""The pipelines of a repository: whole, and with plans that fit."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from builder.doctor.case import Case
from builder.doctor.finding import Seen, Severity, from_message
from builder.errors import BuilderError, InvalidPipelineError, PlanError, RepositoryError
from builder.pipelines.manifest import read_manifest
from builder.pipelines.model_configs import PLAN_FILE
from builder.pipelines.pipeline_check import checked_names, pipeline_problems
from builder.pipelines.versions import prune_hints
from builder.serving.server_options import check_repository
from builder.settings import Runtime
from builder.tensorrt.engine_machine import this_machine
from builder.tensorrt.plan import Machine, check_plan, network_folder

# With nothing to compare plans with but their networks.
NOBODY = Machine(None, None, None)


def look_at_pipelines(case: Case) -> Seen | None:
    """Check that the repository is there and its pipelines are whole, as `framewire check` does."""
    if case.repository is None:
        return None
    repository, shown = case.repository, shlex.quote(str(case.repository))
    try:
        check_repository(repository)
        names = checked_names(repository)
    except RepositoryError as reason:
        return Seen(
            f"{repository} cannot be served",
            (from_message(Severity.ERROR, "repository-missing", str(reason)),),
        )
    findings = [
        from_message(Severity.ERROR, "pipeline-damaged", problem)
        for name in names
        for problem in _problems(repository, name)
    ]
    for sentence in _prunable(repository):
        findings.append(from_message(Severity.HINT, "old-version-loaded", sentence))
    words = f"{', '.join(names)} in {shown}"
    return Seen(words if findings else f"{words}, each of them whole", tuple(findings))


def _problems(repository: Path, name: str) -> list[str]:
    """Return what is wrong with a pipeline, but for its plan, at which another check looks."""
    problems = pipeline_problems(repository, name, NOBODY)
    try:
        if read_manifest(repository, name).runtime is Runtime.TENSORRT:
            check_plan(repository, name, NOBODY)
    except PlanError as reason:
        return [problem for problem in problems if problem != str(reason)]
    except BuilderError:
        pass
    return list(problems)


def _prunable(repository: Path) -> Sequence[str]:
    try:
        return prune_hints(repository)
    except InvalidPipelineError:
        return ()


def look_at_plans(case: Case) -> Seen | None:
    """Check that networks that are TensorRT plans fit their graph, this TensorRT and this GPU."""
    manifests = [each for each in case.manifests() if each.runtime is Runtime.TENSORRT]
    if not manifests:
        return None
    repository = case.the_repository()
    machine, findings = NOBODY if case.elsewhere else this_machine(), []
    for manifest in manifests:
        plan = network_folder(repository, manifest.name, manifest.version) / PLAN_FILE
        try:
            check_plan(repository, manifest.name, machine)
        except PlanError as reason:
            # One that is not there yet is made by `framewire start`; a wrong one is never served.
            there = plan.is_file()
            severity = Severity.ERROR if there else Severity.WARNING
            name = "plan-does-not-fit" if there else "plan-missing"
            findings.append(from_message(severity, name, str(reason)))
    compared = f"TensorRT {machine.tensorrt_version} and {machine.gpu}"
    if machine.tensorrt_version is None or machine.gpu is None:
        compared = "their networks; no TensorRT with a GPU is here to compare with"
    words = f"{len(manifests)} for {compared}" if findings else f"{len(manifests)}, fit {compared}"
    return Seen(words, tuple(findings))
