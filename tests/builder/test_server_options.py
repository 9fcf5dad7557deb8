from __future__ import annotations

import re
from pathlib import Path

import pytest

from builder.cli import main
from builder.errors import RepositoryError
from builder.serving.server_options import (
    ModelControl,
    ServerOptions,
    check_repository,
    triton_arguments,
)


def arguments(**options: object) -> list[str]:
    return triton_arguments(ServerOptions(Path("r"), **options), Path("r"), Path("b"), "shm")


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        (ModelControl.NONE, ["--model-control-mode=none"]),
        (ModelControl.POLL, ["--model-control-mode=poll", "--repository-poll-secs=7"]),
        (ModelControl.EXPLICIT, ["--model-control-mode=explicit", "--load-model=*"]),
    ],
)
def test_triton_is_told_how_to_learn_of_versions(
    control: ModelControl, expected: list[str]
) -> None:
    options = ("--model-control-mode", "--repository-poll-secs", "--load-model")
    told = [each for each in arguments(control=control, poll_s=7) if each.startswith(options)]
    assert told == expected


def test_a_server_serves_what_was_there_when_it_started_unless_told_otherwise() -> None:
    assert "--model-control-mode=none" in arguments()


def test_a_poll_more_often_than_triton_can_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    # Triton takes 0 and never looks.
    assert main(["serve", "--control", "poll", "--poll-seconds", "0"]) == 1
    error = capsys.readouterr().err
    assert error == "framewire: --poll-seconds must be at least 1, got 0\n"


@pytest.mark.parametrize("exists", [False, True])
def test_commands_that_are_told_quote_the_repository(tmp_path: Path, exists: bool) -> None:
    repository = tmp_path / "the models[v1]"
    if exists:
        repository.mkdir()
    with pytest.raises(RepositoryError, match=re.escape(f"--repository '{repository}'`")):
        check_repository(repository)
