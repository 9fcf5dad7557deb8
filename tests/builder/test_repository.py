from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from builder import publication, repository
from builder.errors import InvalidPipelineError, PipelineExistsError, RepositoryError
from builder.model_configs import PipelineSpec
from builder.publication import publishing
from builder.config_files import read_config
from builder.repository import build_pipeline
from builder.validation import validate_pipeline
from builder.settings import BuildSettings
from tests.tiny_detector import LABELS, save_tiny_detector, tiny_detector
from thin_client.contract import contract_fingerprint, model_names

# Builds with --replace and dies, as by SIGKILL, before one of the renames.
KILLED_BUILD = """
import os, sys
from pathlib import Path
from builder.repository import build_pipeline
from builder.settings import BuildSettings

renames_left = int(sys.argv[1])
rename = Path.rename

def rename_or_die(self, other):
    global renames_left
    if renames_left == 0:
        os._exit(9)
    renames_left -= 1
    return rename(self, other)

Path.rename = rename_or_die
settings = BuildSettings("tiny", conf=0.9)
build_pipeline(Path(sys.argv[2]), Path(sys.argv[3]), settings, replace=True)
"""


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    return save_tiny_detector(tmp_path / "tiny.onnx")


def build(model_file: Path, target: Path, name: str = "tiny", **options: object) -> PipelineSpec:
    replace = bool(options.pop("replace", False))
    return build_pipeline(model_file, target, BuildSettings(name, **options), replace=replace)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_build_makes_the_five_models(model_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "repository"
    build(model_file, target)
    assert sorted(path.name for path in target.iterdir()) == sorted(model_names("tiny").all)
    assert list(target.parent.iterdir()) == [target]


def test_configs_say_what_clients_and_triton_need(model_file: Path, tmp_path: Path) -> None:
    build(model_file, tmp_path / "r", conf=0.4, max_det=50, candidates=60, max_batch=4)
    ensemble = read_config(tmp_path / "r" / "tiny")
    parameters = {name: value.string_value for name, value in ensemble.parameters.items()}
    assert parameters["contract_fingerprint"] == contract_fingerprint()
    assert json.loads(parameters["labels"]) == list(LABELS)
    assert (parameters["input_width"], parameters["conf"], parameters["max_det"]) == (
        "64",
        "0.4",
        "50",
    )
    assert ensemble.max_batch_size == 4
    dims = {output.name: list(output.dims) for output in ensemble.output}
    assert dims["det_boxes"] == [50, 4]
    network = read_config(tmp_path / "r" / "tiny_network")
    # A version of another size may stand beside this one while it replaces it.
    assert list(network.input[0].dims) == [-1, -1, 3]
    assert list(network.output[0].dims) == [-1, 6]
    assert network.dynamic_batching.max_queue_delay_microseconds == 0
    assert (tmp_path / "r" / "tiny" / "1" / "labels.txt").read_text().split() == list(LABELS)


def test_a_fixed_batch_limits_every_model(tmp_path: Path) -> None:
    model_file = save_tiny_detector(tmp_path / "tiny.onnx", tiny_detector(batch=1))
    build(model_file, tmp_path / "r")
    for name in model_names("tiny").all:
        assert read_config(tmp_path / "r" / name).max_batch_size == 1


def test_pipelines_live_side_by_side_with_other_models(model_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "r"
    (target / "somebody_elses" / "1").mkdir(parents=True)
    (target / "somebody_elses" / "config.pbtxt").write_text("name: 'somebody_elses'")
    build(model_file, target, "one")
    before = contents(target)
    build(model_file, target, "two")
    after = contents(target)
    assert {name: after[name] for name in before} == before
    assert {name.split("/")[0] for name in after} == {
        "somebody_elses",
        *model_names("one").all,
        *model_names("two").all,
    }


def test_nothing_is_overwritten_unless_asked(model_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "r"
    build(model_file, target)
    before = contents(target)
    with pytest.raises(PipelineExistsError, match="--replace"):
        build(model_file, target, conf=0.9)
    assert contents(target) == before
    build(model_file, target, conf=0.9, replace=True)
    assert read_config(target / "tiny").parameters["conf"].string_value == "0.9"


def test_one_foreign_model_with_a_name_of_ours_stops_the_build(
    model_file: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "r" / "tiny_network"
    mine.mkdir(parents=True)
    (mine / "precious").write_text("weights")
    with pytest.raises(PipelineExistsError, match="tiny_network"):
        build(model_file, tmp_path / "r")
    assert contents(tmp_path / "r") == {"tiny_network/precious": b"weights"}


@pytest.mark.parametrize("failing_rename", range(11))
def test_a_failure_while_publishing_puts_everything_back(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing_rename: int
) -> None:
    target = tmp_path / "r"
    build(model_file, target)
    before = contents(target)
    calls = 0
    real_rename = Path.rename

    def rename(self: Path, other: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == failing_rename + 1:
            raise OSError(28, "No space left on device")
        return real_rename(self, other)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(RepositoryError, match="No space left"):
        build(model_file, target, conf=0.9, replace=True)
    monkeypatch.undo()
    assert contents(target) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r", "tiny.onnx"]


@pytest.mark.parametrize("renames_done", range(12))
def test_the_next_build_mends_what_a_killed_one_left(
    model_file: Path, tmp_path: Path, renames_done: int
) -> None:
    target = tmp_path / "r"
    build(model_file, target)
    before = contents(target)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_BUILD, str(renames_done), str(model_file), str(target)],
        check=False,
    )
    finished = killed.returncode == 0
    assert finished == (renames_done >= 11)
    build(model_file, target, "another")
    for name in model_names("another").all:
        shutil.rmtree(target / name)
    if finished:
        assert read_config(target / "tiny").parameters["conf"].string_value == "0.9"
    else:
        assert contents(target) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r", "tiny.onnx"]


def test_a_killed_first_build_leaves_no_half_pipeline(model_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "r"
    target.mkdir()
    staging = tmp_path / ".r.framewire-build-x"
    (staging / "replaced").mkdir(parents=True)
    (staging / "models" / "tiny_bls").mkdir(parents=True)
    (staging / "journal.json").write_text(json.dumps(list(model_names("tiny").all)))
    (target / "tiny").mkdir()
    with publishing(target):
        assert list(target.iterdir()) == []
    assert not staging.exists()


def test_two_builds_at_once_are_refused(model_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "r"
    target.mkdir()
    with publishing(target), pytest.raises(RepositoryError, match="another build"):
        build(model_file, target)


def test_a_file_where_the_repository_should_be_is_refused(model_file: Path) -> None:
    with pytest.raises(RepositoryError, match="is a file"):
        build(model_file, model_file)


def test_a_name_too_long_for_the_file_system_is_refused(model_file: Path, tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="File name too long"):
        build(model_file, tmp_path / ("long" * 100))


def test_a_mount_of_its_own_is_staged_inside(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publication, "_staging_parent", lambda folder: folder)
    build(model_file, tmp_path / "r")
    build(model_file, tmp_path / "r", replace=True)
    names = sorted(path.name for path in (tmp_path / "r").iterdir())
    assert names == sorted(model_names("tiny").all)


@pytest.mark.parametrize(
    ("model", "old", "new", "complaint"),
    [
        ("tiny", "TYPE_STRING", "TYPE_NOTHING", "no valid config"),
        ("tiny", "max_batch_size: 16", "max_batch_size: 8", "does not survive"),
    ],
)
def test_validation_reads_configs_back(
    model_file: Path, tmp_path: Path, model: str, old: str, new: str, complaint: str
) -> None:
    spec = build(model_file, tmp_path / "r")
    config = tmp_path / "r" / model / "config.pbtxt"
    assert old in config.read_text()
    config.write_text(config.read_text().replace(old, new))
    with pytest.raises(InvalidPipelineError, match=complaint):
        validate_pipeline(tmp_path / "r", spec)


def test_validation_compares_the_network_with_its_config(model_file: Path, tmp_path: Path) -> None:
    spec = build(model_file, tmp_path / "r")
    onnx.save(tiny_detector(), tmp_path / "r" / "tiny_network" / "1" / "model.onnx")
    with pytest.raises(InvalidPipelineError, match="promises frame"):
        validate_pipeline(tmp_path / "r", spec)


def test_validation_finds_steps_that_do_not_fit(model_file: Path, tmp_path: Path) -> None:
    build(model_file, tmp_path / "r")
    configs = {name: read_config(tmp_path / "r" / name) for name in model_names("tiny").all}
    repository._check_steps(configs, "tiny")
    configs["tiny_network"].output[0].dims[1] += 1
    with pytest.raises(InvalidPipelineError, match="the tensor candidates"):
        repository._check_steps(configs, "tiny")
    configs["tiny_network"].output[0].name = "other"
    with pytest.raises(InvalidPipelineError, match="does not have"):
        repository._check_steps(configs, "tiny")


def test_written_configs_are_canonical_protobuf_text(model_file: Path, tmp_path: Path) -> None:
    build(model_file, tmp_path / "r")
    for name in model_names("tiny").all:
        text = (tmp_path / "r" / name / "config.pbtxt").read_text()
        parsed = text_format.Parse(text, pb.ModelConfig())
        assert text_format.MessageToString(parsed) == text
