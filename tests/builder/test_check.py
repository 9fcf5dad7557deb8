"""``framewire check`` over a repository."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from builder.cli import main
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings, Runtime
from tests.builder.engine_stand_ins import StandIns, engine, tensorrt_repository
from tests.tiny_detector import save_tiny_detector, tiny_detector


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tensorrt_repository(tmp_path, runtime=Runtime.PYTHON)


def check(repository: Path, *options: str) -> int:
    return main(["check", "--repository", str(repository), *options])


def test_a_whole_pipeline_is_called_so(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(repository) == 0
    said = capsys.readouterr().out
    assert said == "tiny: version 1 is whole: yolov8 head, 64x64, network in python\n"


def test_every_network_is_compiled_when_asked(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensorrt_repository(repository.parent, "other", runtime=Runtime.PYTHON)
    assert check(repository, "--tensorrt", "--compute-capability", "8.9") == 0
    said = capsys.readouterr().out
    for name in ("tiny", "other"):
        assert f"{name}: TensorRT compiles its network for compute capability 8.9" in said


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def change(old: str, new: str) -> Callable[[Path], None]:
    def edit(file: Path) -> None:
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    return edit


@pytest.mark.parametrize(
    ("file", "damage", "complaint"),
    [
        ("tiny/config.pbtxt", truncate, "no pipeline tiny"),
        ("tiny/1/pipeline.json", truncate, "tiny/1/pipeline.json"),
        ("tiny_bls/config.pbtxt", change("TYPE_STRING", "TYPE_ODD"), "tiny_bls has no valid"),
        ("tiny_network/config.pbtxt", change("TYPE_UINT8", "TYPE_INT8"), "the tensor frame is"),
        ("tiny_postprocess/config.pbtxt", change("versions: 1", "versions: 7"), "[7]"),
        ("tiny_preprocess/config.pbtxt", Path.unlink, "tiny_preprocess has no valid"),
        ("tiny_bls/1/model.py", Path.unlink, "tiny_bls lacks 1/model.py"),
        ("tiny/1/labels.txt", Path.unlink, "tiny lacks 1/labels.txt"),
        ("tiny_postprocess/1/config.pbtxt", Path.unlink, "tiny_postprocess lacks 1/config"),
        ("tiny_network/1/model.onnx", truncate, "model.onnx"),
        ("tiny_network/1/model.onnx", Path.unlink, "there is no model file"),
        (
            "tiny_network/1/model.onnx",
            lambda file: onnx.save(tiny_detector(), file),
            "promises frame",
        ),
    ],
)
def test_damage_is_found_and_named(
    repository: Path,
    capsys: pytest.CaptureFixture[str],
    file: str,
    damage: Callable[[Path], None],
    complaint: str,
) -> None:
    damage(repository / file)
    assert check(repository, "--tensorrt") == 1
    said = capsys.readouterr()
    assert said.out.startswith("tiny: ")
    assert complaint in said.out
    assert said.err.startswith("framewire: 1 problem was found")


def test_all_that_is_wrong_is_listed(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensorrt_repository(repository.parent, "other")
    truncate(repository / "other_network" / "1" / "model.onnx")
    truncate(repository / "tiny" / "1" / "pipeline.json")
    assert check(repository) == 1
    said = capsys.readouterr()
    assert [line.split(":")[0] for line in said.out.splitlines()] == ["other", "other", "tiny"]
    assert "the plan of other is missing: run `framewire engine" in said.out
    assert said.err == "framewire: 3 problems were found, listed above\n"
    assert check(repository, "--name", "tiny") == 1
    assert "other" not in capsys.readouterr().out


def test_a_plan_is_compared_with_the_machine_that_has_the_tools_to_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_ins = StandIns(tmp_path / "bin")
    stand_ins.put_on_path(monkeypatch)
    repository = tensorrt_repository(tmp_path)
    assert engine(repository) == 0
    assert check(repository) == 0
    assert "is for TensorRT 10.5.0.18 and compute capability 8.9, which are here" in (
        capsys.readouterr().out
    )
    stand_ins.tell(gpus=["NVIDIA A10, 8.6"])
    assert check(repository) == 1
    assert "the GPU here is of 8.6 (NVIDIA A10): run `framewire engine" in capsys.readouterr().out
    stand_ins.tell(gpus=[])
    assert check(repository) == 0
    assert "not all of that is here to compare" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--name", "other"], "has no pipeline other, its pipelines are: tiny"),
        ([], "its pipelines"),
    ],
)
def test_a_name_that_is_not_there_is_refused(
    repository: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    complaint: str,
) -> None:
    (tmp_path / "empty").mkdir()
    assert check(repository if options else tmp_path / "empty", *options) == 1
    assert complaint in capsys.readouterr().err


def test_the_models_for_streams_are_checked_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, target = save_tiny_detector(tmp_path / "tiny.onnx"), tmp_path / "streams"
    build_pipeline(model, target, BuildSettings("tiny", stream=True))
    assert check(target) == 0
    config = target / "tiny_decode" / "config.pbtxt"
    whole = config.read_text()
    config.write_text(whole.replace("TYPE_UINT8", "TYPE_FP32"))
    assert check(target) == 1
    assert "tensor frame is TYPE_FP32" in capsys.readouterr().out
    config.write_text(whole)
    (target / "tiny_decode" / "1" / "model.py").unlink()
    assert check(target) == 1
    assert "tiny_decode lacks 1/model.py" in capsys.readouterr().out
    shutil.rmtree(target / "tiny_stream")
    assert check(target) == 1
    assert "tiny_stream has no valid config.pbtxt" in capsys.readouterr().out
