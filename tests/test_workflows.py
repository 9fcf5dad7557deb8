"""The workflows run what is there, and may do no more than read."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
VERSION = re.compile(r"[\w-]+/[\w-]+@v\d+\.\d+\.\d+")


def read(workflow: Path) -> dict[Any, Any]:
    content: dict[Any, Any] = yaml.safe_load(workflow.read_text())
    return content


def steps(workflow: Path) -> list[dict[str, Any]]:
    return [step for job in read(workflow)["jobs"].values() for step in job["steps"]]


def test_there_are_two() -> None:
    assert [each.name for each in WORKFLOWS] == ["ci.yml", "gpu.yml"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_it_only_reads_and_uses_actions_of_one_version(workflow: Path) -> None:
    assert read(workflow)["permissions"] == {"contents": "read"}
    assert "secrets." not in workflow.read_text()
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert used
    for action in used:
        assert VERSION.fullmatch(action), action


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_it_runs_what_is_there(workflow: Path) -> None:
    commands = [shlex.split(step["run"]) for step in steps(workflow) if "run" in step]
    assert commands
    for program, *arguments in commands:
        if program == "make":
            assert set(arguments) <= TARGETS
        elif program != "nvidia-smi":
            assert (ROOT / program).stat().st_mode & 0o100


def test_the_runner_with_a_gpu_takes_no_pull_requests() -> None:
    # YAML reads the key `on` as true.
    assert set(read(ROOT / ".github" / "workflows" / "gpu.yml")[True]) == {
        "workflow_dispatch",
        "schedule",
    }
