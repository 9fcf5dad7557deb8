"""kill -9 at every step of everything that changes a repository."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.pipelines.config_files import named_versions, read_config
from builder.pipelines.manifest import active_version
from builder.pipelines.pipeline_models import models_in, public_models, step_models
from builder.pipelines.publication import mend_repository
from builder.pipelines.repository import build_pipeline
from builder.pipelines.versions import kept_versions, loaded_versions
from builder.settings import BuildSettings
from tests.killing import Killer
from tests.tiny_detector import save_tiny_detector, tiny_detector

# Nobody's command has more; every one is run until it gets to its end.
MOST_STEPS = 200

BUILD = ("build", "{folder}/wide.onnx", "--repository", "{repository}", "--name")
COMMANDS = {
    "a new version": (*BUILD, "tiny", "--stream"),
    "a new version that no config can serve beside the old": (
        *(*BUILD, "tiny", "--stream"),
        *("--max-batch", "4"),
    ),
    "another pipeline": (*BUILD, "other"),
    "a new beginning without streams": (*BUILD, "tiny", "--replace"),
    "a rollback": ("rollback", "tiny", "--repository", "{repository}", "--to", "1"),
}
# What replaces whole folders, or the config of a step by one that suits the new version only, takes
# several renames; in between it is the next command that makes the repository whole.
WHOLE_WITHOUT_MENDING = {"a new version", "another pipeline", "a rollback"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Detectors, and three versions of a pipeline that takes streams, two of them loaded."""
    folder = tmp_path_factory.mktemp("killed")
    model = save_tiny_detector(folder / "tiny.onnx")
    save_tiny_detector(folder / "wide.onnx", tiny_detector(96, 64))
    for conf in (0.4, 0.5, 0.6):
        build_pipeline(model, folder / "before", BuildSettings("tiny", conf=conf, stream=True))
    return folder


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    with Killer() as killer:
        yield killer


@pytest.mark.parametrize("what", COMMANDS)
def test_a_killed_command_leaves_the_old_pipeline_or_the_new_one(
    folder: Path, killer: Killer, what: str
) -> None:
    repository = folder / "repository"
    arguments = [each.format(folder=folder, repository=repository) for each in COMMANDS[what]]
    before = contents(folder / "before")
    fresh(folder, repository)
    assert killer.run(MOST_STEPS * 10, *arguments) == 0
    after = contents(repository)
    assert after != before
    oldest = {file: content for file, content in before.items() if file.split("/")[1] == "1"}

    outcomes = []
    for step in range(MOST_STEPS):
        fresh(folder, repository)
        code = killer.run(step, *arguments)
        if code == 0:
            break
        assert code == -9
        if what in WHOLE_WITHOUT_MENDING:
            assert_whole(repository, before)
        mend_repository(repository)
        found = contents(repository)
        # The last thing a build does is to delete the oldest version; the next one does it too.
        new = found == {**oldest, **after}
        assert new or found in (before, after), f"step {step}"
        outcomes.append(found != before)
        assert left_overs(folder) == []
        if step % 8 == 0:
            # The same again, now to its end: a new version gets the next number.
            assert killer.run(MOST_STEPS * 10, *arguments) == 0
    assert code == 0
    # There is one point from which on it is the new one.
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {False, True}


def test_a_killed_prune_can_be_run_again(folder: Path, killer: Killer) -> None:
    repository = folder / "repository"
    prune = ("prune", "tiny", "--repository", str(repository))
    for step in range(MOST_STEPS):
        fresh(folder, repository)
        code = killer.run(step, *prune)
        assert_whole(repository, contents(folder / "before"))
        assert killer.run(MOST_STEPS * 10, *prune) == 0
        assert loaded_versions(repository, "tiny") == (3,)
        if code == 0:
            break
    assert code == 0


def fresh(folder: Path, repository: Path) -> None:
    shutil.rmtree(repository, ignore_errors=True)
    shutil.copytree(folder / "before", repository)


def contents(repository: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(repository)): path.read_bytes()
        for path in repository.rglob("*")
        if path.is_file()
    }


def left_overs(folder: Path) -> list[Path]:
    return list(folder.glob(".repository.*"))


def assert_whole(repository: Path, before: dict[str, bytes]) -> None:
    """What Triton finds in the repository as it lies there could answer."""
    active = active_version(repository, "tiny")
    assert active in kept_versions(repository, "tiny")
    public = {
        version
        for model in public_models("tiny", streams=True)
        for version in named_versions(read_config(repository / model))
    }
    for version in {active, *public}:
        for model in models_in(repository, "tiny"):
            assert (repository / model / str(version) / "config.pbtxt").is_file()
    for step in step_models("tiny", streams=True):
        named = named_versions(read_config(repository / step))
        assert {active, *public} <= set(named)
        assert all((repository / step / str(version)).is_dir() for version in named)
    found = contents(repository)
    versions = {str(active), *map(str, public)}
    for file, content in before.items():
        if file.split("/")[1] in versions:
            assert found[file] == content
