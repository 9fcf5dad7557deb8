"""A version with other settings is what a build with these settings makes."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from builder.cli import main
from builder.errors import TuningError
from builder.pipelines.manifest import read_manifest
from builder.pipelines.repository import build_pipeline
from builder.pipelines.version_changes import roll_back
from builder.pipelines.versions import versions_of
from builder.settings import BuildSettings, Decoder, Precision
from builder.tuning.parameters import Choice
from builder.tuning.retuning import check_retunable, publish_choice, stage_retuned
from tests.tiny_detector import save_tiny_detector
from thin_client.contract import model_names

CHOICE = Choice(
    decoder=Decoder.SCALED, instances=3, decode_threads=2, max_batch=5, precision=Precision.BF16
)
EVIDENCE = {"tuning.json": "{}\n", "tuning.txt": "words\n"}
NAMES = model_names("tiny")


def build(repository: Path, **options: object) -> None:
    model = save_tiny_detector(repository.parent / "tiny.onnx")
    build_pipeline(model, repository, BuildSettings("tiny", conf=0.4, **options))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    build(tmp_path / "r")
    return tmp_path / "r"


def files_of(repository: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(repository)): path.read_bytes()
        for path in repository.rglob("*")
        if path.is_file()
    }


def test_a_staged_version_is_what_a_build_makes(repository: Path, tmp_path: Path) -> None:
    before = files_of(repository)
    manifest = read_manifest(repository, "tiny")
    staged = stage_retuned(repository, manifest, CHOICE, tmp_path / "staged")
    (tmp_path / "other").mkdir()
    build(tmp_path / "other" / "r", **vars(CHOICE))
    assert files_of(staged) == files_of(tmp_path / "other" / "r")
    assert (staged / "tiny_network" / "1" / "model.onnx").is_symlink()
    assert files_of(repository) == before


def test_a_published_version_is_what_a_build_makes(repository: Path, tmp_path: Path) -> None:
    manifest = read_manifest(repository, "tiny")
    assert publish_choice(repository, manifest, CHOICE, EVIDENCE) == 2
    (tmp_path / "other").mkdir()
    build(tmp_path / "other" / "r")
    build(tmp_path / "other" / "r", **vars(CHOICE))
    published = files_of(repository)
    assert published.pop("tiny/2/tuning.json") == b"{}\n"
    assert published.pop("tiny/2/tuning.txt") == b"words\n"
    assert published == files_of(tmp_path / "other" / "r")
    assert not (repository / "tiny_network" / "2" / "model.onnx").is_symlink()


def test_roll_back_brings_the_old_settings_back(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files_of(repository)
    old = read_manifest(repository, "tiny")
    publish_choice(repository, old, CHOICE, EVIDENCE)
    tuned = read_manifest(repository, "tiny")
    assert asdict(tuned) == {**asdict(old), "version": 2, **vars(CHOICE)}
    assert [each.manifest.version for each in versions_of(repository, "tiny")] == [2, 1]
    assert main(["list", "--repository", str(repository)]) == 0
    assert capsys.readouterr().out.count("tiny.onnx") == 2
    roll_back(repository, "tiny")
    assert read_manifest(repository, "tiny") == old
    for model in (NAMES.ensemble, NAMES.bls):
        config = f"{model}/config.pbtxt"
        assert files_of(repository)[config] == before[config]


def test_a_version_built_meanwhile_is_not_overwritten(repository: Path) -> None:
    manifest = read_manifest(repository, "tiny")
    build(repository)
    before = files_of(repository)
    with pytest.raises(TuningError, match="was built anew while version 1 was measured"):
        publish_choice(repository, manifest, CHOICE, EVIDENCE)
    assert files_of(repository) == before


def test_a_version_whose_code_does_not_read_the_settings_is_refused(repository: Path) -> None:
    manifest = read_manifest(repository, "tiny")
    check_retunable(repository, manifest)
    file = repository / "tiny_bls" / "1" / "settings.json"
    settings = json.loads(file.read_text())
    del settings["decode_threads"]
    file.write_text(json.dumps(settings))
    with pytest.raises(TuningError, match="built before there was decode_threads to choose: build"):
        check_retunable(repository, manifest)
    file.unlink()
    with pytest.raises(TuningError, match=r"tiny_bls/1/settings\.json .*FileNotFoundError"):
        check_retunable(repository, manifest)


def test_a_network_that_reads_no_precision_gets_no_other(repository: Path) -> None:
    manifest = read_manifest(repository, "tiny")
    check_retunable(repository, manifest, precision=True)
    (repository / "tiny_network" / "1" / "settings.json").unlink()
    check_retunable(repository, manifest)
    with pytest.raises(TuningError, match="built before there was precision to choose: build"):
        check_retunable(repository, manifest, precision=True)


def test_a_network_in_int8_takes_the_place_of_the_version_s_own(
    repository: Path, tmp_path: Path
) -> None:
    manifest = read_manifest(repository, "tiny")
    int8 = tmp_path / "int8.onnx"
    int8.write_bytes(b"in int8")
    choice = replace(CHOICE, precision=Precision.INT8)
    staged = stage_retuned(repository, manifest, choice, tmp_path / "staged", int8)
    publish_choice(repository, manifest, choice, EVIDENCE, int8=int8)
    own = (repository / "tiny_network" / "1" / "model.onnx").read_bytes()
    assert own != b"in int8"
    for folder in (staged / "tiny_network" / "1", repository / "tiny_network" / "2"):
        assert (folder / "model.onnx").read_bytes() == b"in int8"
        assert json.loads((folder / "settings.json").read_text())["precision"] == "int8"
    assert read_manifest(repository, "tiny").precision is Precision.INT8
