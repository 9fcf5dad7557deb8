"""A pipeline's versions: built over each other, listed, rolled back, pruned, added to."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from builder.cli import main
from builder.errors import InvalidPipelineError, PipelineExistsError, RepositoryError, SettingsError
from builder.pipelines.config_files import named_versions, read_config, version_folders
from builder.pipelines.manifest import active_version, pipelines, read_manifest
from builder.pipelines.repository import build_pipeline
from builder.pipelines.version_changes import new_version, prune, roll_back
from builder.pipelines.versions import (
    VersionState,
    kept_versions,
    prune_hints,
    publication_line,
    versions_of,
)
from builder.settings import BuildSettings
from tests.tiny_detector import save_tiny_detector, tiny_detector
from thin_client.contract import model_names

NAMES = model_names("tiny")
STEPS = (NAMES.preprocess, NAMES.network, NAMES.postprocess)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """With one version of a pipeline."""
    build(tmp_path / "r", conf=0.4)
    return tmp_path / "r"


def build(repository: Path, width: int = 64, *, keep: int = 2, **options: object) -> int:
    model = save_tiny_detector(repository.parent / f"{width}.onnx", tiny_detector(width, 64))
    return build_pipeline(model, repository, BuildSettings("tiny", **options), keep=keep).version


def policies(repository: Path) -> dict[str, tuple[int, ...]]:
    return {model: named_versions(read_config(repository / model)) for model in NAMES.all}


def test_a_build_over_a_pipeline_makes_its_next_version(repository: Path) -> None:
    first = (repository / "tiny_network" / "1" / "model.onnx").read_bytes()
    assert build(repository, 96, conf=0.6) == 2
    # Servers have both versions of the steps when the ensemble changes to the new one.
    expected = {**dict.fromkeys(STEPS, (1, 2)), NAMES.ensemble: (2,), NAMES.bls: (2,)}
    assert policies(repository) == expected
    steps = read_config(repository / "tiny").ensemble_scheduling.step
    assert [step.model_version for step in steps] == [2, 2, 2]
    assert (repository / "tiny_network" / "1" / "model.onnx").read_bytes() == first
    assert (
        read_manifest(repository, "tiny").width,
        read_manifest(repository, "tiny", 1).width,
    ) == (
        96,
        64,
    )
    # A server that has not looked yet still serves the first.
    assert build(repository, conf=0.7) == 3
    assert {policies(repository)[step] for step in STEPS} == {(1, 2, 3)}
    assert "versions 1 and 2 stay loaded" in publication_line(repository, "tiny")
    assert "version 1, 2 of tiny is loaded" in prune_hints(repository)[0]
    prune(repository, "tiny")
    assert {policies(repository)[step] for step in STEPS} == {(3,)}
    assert prune_hints(repository) == []


def test_the_oldest_versions_are_deleted(repository: Path) -> None:
    for conf in (0.5, 0.6, 0.7):
        build(repository, conf=conf)
    assert kept_versions(repository, "tiny") == (2, 3, 4)
    build(repository, keep=1)
    assert {version_folders(repository / model) for model in NAMES.all} == {(4, 5)}
    with pytest.raises(SettingsError, match="--keep must be at least 1, got 0"):
        build(repository, keep=0)


def test_a_version_that_servers_still_load_is_not_deleted(repository: Path) -> None:
    for conf in (0.5, 0.6):
        build(repository, conf=conf)
    roll_back(repository, "tiny", 1)
    assert build(repository, keep=1) == 4
    assert kept_versions(repository, "tiny") == (1, 4)


def test_a_rollback_puts_back_every_config(repository: Path) -> None:
    before = {model: (repository / model / "config.pbtxt").read_text() for model in NAMES.all}
    build(repository, 96, conf=0.6)
    assert roll_back(repository, "tiny").version == 1
    assert policies(repository)["tiny_network"] == (1, 2)
    assert prune(repository, "tiny") == (2,)
    after = {model: (repository / model / "config.pbtxt").read_text() for model in NAMES.all}
    assert after == before
    # Forward again, and a number is never given twice.
    assert roll_back(repository, "tiny", 2).width == 96
    roll_back(repository, "tiny", 1)
    assert build(repository) == 3


def test_a_rollback_to_nowhere_is_refused(repository: Path) -> None:
    with pytest.raises(RepositoryError, match=r"no version older than 1.*name one with --to"):
        roll_back(repository, "tiny")
    build(repository)
    with pytest.raises(RepositoryError, match=r"no version 7, its versions are: 1, 2: name one"):
        roll_back(repository, "tiny", 7)
    with pytest.raises(RepositoryError, match="no pipeline big, its pipelines are: tiny"):
        roll_back(repository, "big")
    assert active_version(repository, "tiny") == 2


def test_a_rollback_to_a_damaged_version_changes_nothing(repository: Path) -> None:
    build(repository)
    (repository / "tiny" / "1" / "pipeline.json").write_text("[]")
    with pytest.raises(InvalidPipelineError, match="damaged"):
        roll_back(repository, "tiny", 1)
    assert active_version(repository, "tiny") == 2


def test_a_loaded_version_that_lost_its_config_stops_no_build(repository: Path) -> None:
    build(repository)
    (repository / "tiny_network" / "1" / "config.pbtxt").unlink()
    assert build(repository) == 3
    assert policies(repository)["tiny_network"] == (2, 3)


def test_a_damaged_pipeline_hides_no_other_from_the_list(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = save_tiny_detector(tmp_path / "other.onnx")
    build_pipeline(model, repository, BuildSettings("other"))
    (repository / "tiny" / "1" / "pipeline.json").write_text("[]")
    assert main(["list", "--repository", str(repository)]) == 1
    said = capsys.readouterr()
    assert "other.onnx" in said.out
    assert "tiny" in said.err
    assert "damaged" in said.err


def test_a_path_is_no_name_of_a_pipeline(repository: Path) -> None:
    with pytest.raises(RepositoryError, match="has no pipeline"):
        prune(repository, "../r/tiny")


def test_folders_that_triton_takes_for_no_version_are_left_alone(repository: Path) -> None:
    for name in ("9" * 20, "07", "²", "٣"):
        (repository / "tiny" / name).mkdir()
    assert build(repository) == 2


def test_a_prune_for_a_version_that_is_not_active_any_more_is_refused(repository: Path) -> None:
    build(repository)
    build(repository)
    before = policies(repository)
    with pytest.raises(RepositoryError, match="version 3 of tiny was published while"):
        prune(repository, "tiny", active=2)
    assert policies(repository) == before


def test_a_gap_is_told(repository: Path) -> None:
    build(repository, 96)
    assert "stays loaded" in publication_line(repository, "tiny")
    build(repository, max_batch=4)
    # The old ensemble promises batches that this config refuses.
    assert {policies(repository)[step] for step in STEPS} == {(3,)}
    line = publication_line(repository, "tiny")
    assert "have a gap" in line
    assert "tiny_network" in line
    roll_back(repository, "tiny")
    assert read_config(repository / "tiny_network").max_batch_size == 16
    assert "have a gap" in publication_line(repository, "tiny")


def test_files_can_be_added_to_a_copy_of_the_active_version(repository: Path) -> None:
    build(repository, 96, conf=0.6)
    with new_version(repository, "tiny") as staged:
        assert staged.version == 3
        (staged.folder(staged.names.network) / "model.plan").write_bytes(b"plan")
        assert active_version(repository, "tiny") == 2
    assert active_version(repository, "tiny") == 3
    assert (repository / "tiny_network" / "3" / "model.plan").read_bytes() == b"plan"
    assert not (repository / "tiny_network" / "2" / "model.plan").exists()
    manifest = read_manifest(repository, "tiny")
    assert (manifest.version, manifest.width, manifest.conf) == (3, 96, 0.6)
    ensemble = read_config(repository / "tiny")
    assert [step.model_version for step in ensemble.ensemble_scheduling.step] == [3, 3, 3]
    label_files = {output.label_filename for output in ensemble.output} - {""}
    assert label_files == {"3/labels.txt"}
    assert (repository / "tiny" / "3" / "labels.txt").is_file()


def test_a_copy_that_fails_is_not_published(repository: Path) -> None:
    before = sorted(repository.rglob("*"))
    with pytest.raises(SettingsError, match="no plan"), new_version(repository, "tiny"):
        raise SettingsError("no plan")
    assert sorted(repository.rglob("*")) == before


def test_a_pipeline_that_lacks_files_gets_no_version(repository: Path) -> None:
    (repository / "tiny_network" / "1" / "config.pbtxt").unlink()
    with pytest.raises(PipelineExistsError, match=r"no whole pipeline.*--replace"):
        build(repository)
    with pytest.raises(RepositoryError, match=r"lacks some of its files.*--replace"):
        roll_back(repository, "tiny")


def test_versions_are_listed_newest_first(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build(repository, 96)
    prune(repository, "tiny")
    build(repository, 128)
    (repository / "somebody_elses" / "1").mkdir(parents=True)
    (repository / "somebody_elses" / "config.pbtxt").write_text("name: 'somebody_elses'")
    assert pipelines(repository) == ("tiny",)
    versions = versions_of(repository, "tiny")
    assert [(each.manifest.version, each.state) for each in versions] == [
        (3, VersionState.ACTIVE),
        (2, VersionState.LOADED),
        (1, VersionState.KEPT),
    ]
    assert main(["list", "--repository", str(repository)]) == 0
    title, *rows = capsys.readouterr().out.splitlines()
    assert title.split()[:4] == ["pipeline", "version", "state", "head"]
    built = versions[0].built.strftime("%Y-%m-%d %H:%M")
    expected = f"tiny 3 active yolov8 128x64 fp32 python 3 {built} 128.onnx"
    assert " ".join(rows[0].split()) == expected
    assert len(rows) == 3


def test_the_commands_say_what_they_did(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build(repository)
    where = ["--repository", str(repository)]
    assert main(["rollback", "tiny", *where]) == 0
    assert "version 1 of tiny is active; version 2 stays loaded" in capsys.readouterr().out
    assert main(["prune", "tiny", *where]) == 0
    assert capsys.readouterr().out == "servers no longer load version 2; its files stay\n"
    assert main(["rollback", "tiny", "--to", "9", *where]) == 1
    assert capsys.readouterr().err.startswith("framewire: tiny has no version 9")
    assert main(["list", "--repository", str(repository.parent / "nothing")]) == 1
    assert "there is no model repository" in capsys.readouterr().err


def test_the_same_build_makes_the_same_files(repository: Path, tmp_path: Path) -> None:
    build(tmp_path / "again", conf=0.4)
    for file in repository.rglob("*"):
        if file.is_file():
            other = tmp_path / "again" / file.relative_to(repository)
            assert digest(other) == digest(file), file


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_the_models_for_streams_change_with_the_others(tmp_path: Path) -> None:
    repository = tmp_path / "r"
    steps, public = (*STEPS, NAMES.decode), (NAMES.ensemble, NAMES.bls, NAMES.stream)

    def named() -> dict[str, tuple[int, ...]]:
        models = (*steps, *public)
        return {model: named_versions(read_config(repository / model)) for model in models}

    for conf in (0.4, 0.5):
        build(repository, conf=conf, stream=True)
    assert named() == {**dict.fromkeys(steps, (1, 2)), **dict.fromkeys(public, (2,))}
    stream = read_config(repository / NAMES.stream)
    assert {step.model_version for step in stream.ensemble_scheduling.step} == {2}
    roll_back(repository, "tiny")
    assert named() == {**dict.fromkeys(steps, (1, 2)), **dict.fromkeys(public, (1,))}
    assert prune(repository, "tiny") == (2,)
    assert named() == dict.fromkeys((*steps, *public), (1,))
    with new_version(repository, "tiny") as staged:
        assert staged.folder(NAMES.decode).is_dir()
    assert named() == {**dict.fromkeys(steps, (1, 3)), **dict.fromkeys(public, (3,))}
    assert kept_versions(repository, "tiny") == (1, 2, 3)
    assert next(iter(versions_of(repository, "tiny"))).manifest.stream
    build(repository, conf=0.6, stream=True, keep=1)
    assert version_folders(repository / NAMES.decode) == version_folders(repository / "tiny")


def test_a_version_without_its_decode_step_is_none(tmp_path: Path) -> None:
    repository = tmp_path / "r"
    for conf in (0.4, 0.5):
        build(repository, conf=conf, stream=True)
    shutil.rmtree(repository / NAMES.decode / "1")
    assert kept_versions(repository, "tiny") == (2,)


def test_manifests_of_builders_that_knew_no_streams_are_read(repository: Path) -> None:
    file = repository / "tiny" / "1" / "pipeline.json"
    values = json.loads(file.read_text())
    del values["stream"]
    file.write_text(json.dumps(values))
    assert not read_manifest(repository, "tiny").stream
