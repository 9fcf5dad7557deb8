"""Whole model folders: a first build, and one that begins anew."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from builder.errors import PipelineExistsError, RepositoryBusyError, RepositoryError
from builder.pipelines import publication
from builder.pipelines.config_files import read_config
from builder.pipelines.manifest import active_version
from builder.pipelines.publication import mend_repository, publishing
from builder.pipelines.repository import build_pipeline
from builder.pipelines.version_changes import prune, roll_back
from builder.settings import BuildSettings
from tests.tiny_detector import save_tiny_detector
from thin_client.contract import model_names


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    return save_tiny_detector(tmp_path / "tiny.onnx")


def build(model_file: Path, target: Path, conf: float, *, replace: bool = False) -> None:
    build_pipeline(model_file, target, BuildSettings("tiny", conf=conf), replace=replace)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_new_beginning_throws_every_version_away(model_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "r"
    build(model_file, target, 0.4)
    build(model_file, target, 0.5)
    build(model_file, target, 0.9, replace=True)
    assert read_config(target / "tiny").parameters["conf"].string_value == "0.9"
    for model in model_names("tiny").all:
        assert [path.name for path in (target / model).iterdir() if path.is_dir()] == ["1"]


def test_a_link_to_nowhere_is_in_the_way_until_it_is_replaced(
    model_file: Path, tmp_path: Path
) -> None:
    target = tmp_path / "r"
    target.mkdir()
    (target / "tiny").symlink_to(tmp_path / "nowhere")
    with pytest.raises(PipelineExistsError, match="already holds tiny, which"):
        build(model_file, target, 0.4)
    build(model_file, target, 0.4, replace=True)
    assert active_version(target, "tiny") == 1


def test_the_ensemble_comes_after_its_steps(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived = []
    replace = Path.replace

    def noted(self: Path, other: Path) -> Path:
        if other.parent == tmp_path / "r":
            arrived.append(other.name)
        return replace(self, other)

    monkeypatch.setattr(Path, "replace", noted)
    build(model_file, tmp_path / "r", 0.4)
    assert len(arrived) == 5
    assert arrived[-1] == "tiny"


@pytest.mark.parametrize("failing", range(11))
def test_a_failure_while_publishing_puts_everything_back(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    target = tmp_path / "r"
    build(model_file, target, 0.4)
    before = contents(target)
    fail_a_rename(monkeypatch, failing)
    with pytest.raises(RepositoryError, match="No space left"):
        build(model_file, target, 0.9, replace=True)
    monkeypatch.undo()
    assert contents(target) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r", "tiny.onnx"]


@pytest.mark.parametrize("failing", range(10))
def test_a_failure_while_a_version_is_published_keeps_the_old_one(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    target = tmp_path / "r"
    build(model_file, target, 0.4)
    before = contents(target)
    fail_a_rename(monkeypatch, failing)
    with pytest.raises(RepositoryError, match="No space left"):
        build(model_file, target, 0.9)
    monkeypatch.undo()
    if failing < 9:
        assert contents(target) == before
    else:  # the last rename is of NAME_bls's config, when the version is already the active one
        assert active_version(target, "tiny") == 2
        assert list(read_config(target / "tiny_bls").version_policy.specific.versions) == [2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r", "tiny.onnx"]


# A name may hold what a glob pattern takes for its own.
@pytest.mark.parametrize("name", ["r", "models[v1]", "a*b?"])
def test_what_cannot_be_put_back_now_is_put_back_by_the_next_command(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    target = tmp_path / name
    build(model_file, target, 0.4)
    before = contents(target)
    for replaces in (True, False):
        fail_a_rename(monkeypatch, 6, from_then_on=True)
        with pytest.raises(RepositoryError, match="No space left"):
            build(model_file, target, 0.9, replace=replaces)
        monkeypatch.undo()
        assert contents(target) != before
        mend_repository(target)
        assert contents(target) == before
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "tiny.onnx"])


def test_what_is_left_over_beside_another_repository_is_its_own(
    model_file: Path, tmp_path: Path
) -> None:
    build(model_file, tmp_path / "models1", 0.4)
    build(model_file, tmp_path / "models[12]", 0.4)
    (tmp_path / ".models1.framewire-build-x" / "models").mkdir(parents=True)
    mend_repository(tmp_path / "models[12]")
    assert (tmp_path / ".models1.framewire-build-x").exists()
    mend_repository(tmp_path / "models1")
    assert not (tmp_path / ".models1.framewire-build-x").exists()


def test_a_command_that_a_refusal_names_can_be_run_as_it_stands(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError) as refusal, publishing(tmp_path / "my models"):
        pass
    command = shlex.split(str(refusal.value).split("`")[1])
    assert command[-2:] == ["--repository", str(tmp_path / "my models")]


def fail_a_rename(
    monkeypatch: pytest.MonkeyPatch, failing: int, *, from_then_on: bool = False
) -> None:
    calls = 0
    replace = Path.replace

    def fail(self: Path, other: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == failing + 1 or (from_then_on and calls > failing):
            raise OSError(28, "No space left on device")
        return replace(self, other)

    monkeypatch.setattr(Path, "replace", fail)


@pytest.mark.parametrize("journal", ["journal.json", "switch.json", "removal.json"])
def test_half_a_journal_means_that_nothing_had_happened(
    model_file: Path, tmp_path: Path, journal: str
) -> None:
    target = tmp_path / "r"
    build(model_file, target, 0.4)
    before = contents(target)
    staging = tmp_path / ".r.framewire-build-x"
    (staging / "models" / "tiny" / "2").mkdir(parents=True)
    (staging / "replaced").mkdir()
    (staging / journal).write_text('["tin')
    mend_repository(target)
    assert contents(target) == before
    assert not staging.exists()


def test_one_change_at_a_time(model_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "r"
    build(model_file, target, 0.4)
    before = contents(target)
    with publishing(target):
        for change in (
            lambda: build(model_file, target, 0.5),
            lambda: roll_back(target, "tiny"),
            lambda: prune(target, "tiny"),
        ):
            with pytest.raises(RepositoryBusyError, match="wait for it"):
                change()
        # Somebody is at work: what lies there is not left over.
        mend_repository(target)
        assert len(list(tmp_path.glob(".r.framewire-build-*"))) == 1
    assert contents(target) == before


def test_a_mount_of_its_own_is_staged_inside(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "r"
    monkeypatch.setattr(publication, "_staging_parent", lambda folder: folder)
    build(model_file, target, 0.4)
    build(model_file, target, 0.5)
    build(model_file, target, 0.6, replace=True)
    assert sorted(path.name for path in target.iterdir()) == sorted(model_names("tiny").all)
