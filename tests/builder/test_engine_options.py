"""What ``framewire engine`` asks of trtexec, and what it says where it cannot ask.

See ``engine_stand_ins`` for what the stand-ins prove and what they do not.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from builder.settings import Precision, Runtime, Shape
from builder.tensorrt import engine_machine
from builder.tensorrt.engine_machine import tensorrt_version
from tests.builder.engine_stand_ins import (
    TENSORRT_8,
    TENSORRT_10,
    TENSORRT_11,
    StandIns,
    engine,
    tensorrt_repository,
)
from tests.tiny_detector import tiny_detector


@pytest.fixture(autouse=True)
def no_trtexec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without NVIDIA's tools, whatever this one has."""
    monkeypatch.setattr(engine_machine, "TRTEXEC_FOLDERS", ())
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def stand_ins(no_trtexec: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIns:
    made = StandIns(tmp_path / "bin")
    made.put_on_path(monkeypatch)
    return made


def test_a_dry_run_prints_the_command_without_gpu_and_trtexec(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "with a space"
    folder.mkdir()
    repository = tensorrt_repository(folder)
    before = sorted(folder.rglob("*"))
    assert engine(repository, "--dry-run", "--workspace", "1024", "--opt-batch", "1") == 0
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    network = repository / "tiny_network" / "1"
    assert shlex.split(printed) == [
        "trtexec",
        f"--onnx={network / 'model.onnx'}",
        f"--saveEngine={network / 'model.plan'}",
        "--minShapes=frame:1x64x64x3",
        "--optShapes=frame:1x64x64x3",
        "--maxShapes=frame:4x64x64x3",
        "--stronglyTyped",
        "--memPoolSize=workspace:1024",
        f"--timingCacheFile={folder / '.r.framewire-cache' / 'timing.cache'}",
        "--skipInference",
    ]
    assert sorted(folder.rglob("*")) == before


def test_a_dry_run_asks_the_trtexec_that_is_there_and_compiles_nothing(
    tmp_path: Path, stand_ins: StandIns, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = tensorrt_repository(tmp_path)
    tensorrt_repository(tmp_path, "other")
    stand_ins.tell(options=TENSORRT_11, version="110100", build="106")
    assert engine(repository, "--dry-run", "--device", "0") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"CUDA_VISIBLE_DEVICES=0 {stand_ins.home / 'trtexec'} --onnx=")
    assert "timing-11.1.0.106-8.9.cache" in first
    assert "tiny_network" in second
    assert "--stronglyTyped" not in first
    assert stand_ins.builds == []


def test_without_trtexec_the_image_that_has_it_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert engine(tensorrt_repository(tmp_path)) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    for part in ("docker run", "nvcr.io/nvidia/tritonserver:<version>-py3", "libnvinfer-bin"):
        assert part in said


def test_without_a_gpu_it_says_so(
    tmp_path: Path, stand_ins: StandIns, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = tensorrt_repository(tmp_path)
    stand_ins.tell(gpus=[])
    assert engine(repository) == 1
    assert "no GPU can be seen here (No devices were found)" in capsys.readouterr().err
    stand_ins.tell(gpus=["NVIDIA L4, 8.9"])
    assert engine(repository, "--device", "1") == 1
    assert "no GPU 1 can be seen here" in capsys.readouterr().err
    (stand_ins.home / "nvidia-smi").unlink()
    assert engine(repository) == 1
    assert "nvidia-smi is not installed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("known", "precision", "options", "expected"),
    [
        (TENSORRT_10, Precision.FP32, [], ["--stronglyTyped"]),
        (TENSORRT_10, Precision.FP16, [], ["--stronglyTyped"]),
        (TENSORRT_10, Precision.FP32, ["--fp16"], ["--fp16"]),
        (TENSORRT_10, Precision.FP32, ["--best"], ["--best"]),
        (TENSORRT_11, Precision.FP16, [], []),
        (TENSORRT_8, Precision.FP32, [], []),
        (TENSORRT_8, Precision.FP16, [], ["--fp16"]),
    ],
)
def test_types_are_those_of_the_graph_unless_asked_otherwise(
    tmp_path: Path,
    stand_ins: StandIns,
    known: tuple[str, ...],
    precision: Precision,
    options: list[str],
    expected: list[str],
) -> None:
    stand_ins.tell(options=known)
    assert engine(tensorrt_repository(tmp_path, precision=precision), *options) == 0
    said = [each for each in stand_ins.build_options() if "Shapes" not in each]
    assert said == [*expected, "--skipInference"]


def test_a_precision_that_trtexec_no_longer_has_is_refused(
    tmp_path: Path, stand_ins: StandIns, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_ins.tell(options=TENSORRT_11)
    assert engine(tensorrt_repository(tmp_path), "--fp16") == 1
    assert "build tiny with `--precision fp16`" in capsys.readouterr().err
    assert stand_ins.builds == []


def test_further_options_reach_trtexec_and_the_fingerprint(
    tmp_path: Path, stand_ins: StandIns, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = tensorrt_repository(tmp_path)
    assert engine(repository, "--trtexec-option=--noTF32") == 0
    assert "--noTF32" in stand_ins.build_options()
    assert '"--noTF32"' in (repository / "tiny_network/1/model.plan.json").read_text()
    assert engine(repository, "--trtexec-option=--nonsense") == 1
    assert "Unknown option: --nonsense" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--min-batch", "3", "--opt-batch", "2"], "must be in order from 1 on, got 3, 2 and 4"),
        (["--min-batch", "0"], "must be in order from 1 on, got 0, 4 and 4"),
        (["--max-batch", "2"], "less than the 4 images that tiny takes"),
        (["--workspace", "0"], "--workspace must be at least 1 MiB, got 0"),
        (["--trtexec-option=--saveEngine=x"], "is set by framewire itself"),
        (["--name", "other"], "no pipeline other"),
    ],
)
def test_options_out_of_range_are_refused(
    tmp_path: Path,
    stand_ins: StandIns,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    complaint: str,
) -> None:
    assert engine(tensorrt_repository(tmp_path), *options) == 1
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1
    assert stand_ins.builds == []


def test_a_larger_batch_than_the_pipelines_is_possible(tmp_path: Path, stand_ins: StandIns) -> None:
    assert engine(tensorrt_repository(tmp_path), "--max-batch", "8") == 0
    assert stand_ins.option("--maxShapes") == "frame:8x64x64x3"
    assert stand_ins.option("--optShapes") == "frame:8x64x64x3"


def rect_repository(folder: Path) -> Path:
    return tensorrt_repository(folder, detector=tiny_detector(640, 640), shape=Shape.RECT)


def shapes(smallest: str, best: str, largest: str) -> list[str]:
    return [
        f"--minShapes=frame:1x{smallest}x3",
        f"--optShapes=frame:4x{best}x3",
        f"--maxShapes=frame:4x{largest}x3",
    ]


EVERY_FRAME = shapes("32x32", "640x640", "640x640")
WIDE = shapes("384x640", "384x640", "384x640")
OLD = shapes("480x640", "480x640", "480x640")


@pytest.mark.parametrize(
    ("aspects", "profiles"),
    [
        ([], [EVERY_FRAME, WIDE, OLD, shapes("640x640", "640x640", "640x640")]),
        (["--aspects", "16:9"], [EVERY_FRAME, WIDE, WIDE, WIDE]),
        (
            ["--aspects", "9:16, 4:3-16:9"],
            [EVERY_FRAME, shapes("640x384", "640x384", "640x384")]
            + [shapes("384x640", "384x640", "480x640")] * 2,
        ),
    ],
    ids=["usual", "one", "a range"],
)
def test_rectangles_have_a_profile_for_all_and_one_for_each_aspect(
    tmp_path: Path, stand_ins: StandIns, aspects: list[str], profiles: list[list[str]]
) -> None:
    assert engine(rect_repository(tmp_path), *aspects) == 0
    # Of each profile trtexec wants the number first; a later option is of the last number.
    expected = [
        option
        for number, profile in enumerate(profiles)
        for option in (f"--profile={number}", *profile)
    ]
    said = stand_ins.build_options()
    assert said[: len(expected)] == expected
    assert not [each for each in said[len(expected) :] if "Shapes" in each]


@pytest.mark.parametrize(
    ("aspects", "complaint"),
    [
        ("16:9,4:3,1:1,9:16", "has 4 aspects, and a plan is made for 3 at most"),
        ("wide", "has 'wide': give width:height"),
        ("16:0", "has '16:0': give width:height"),
        ("1:1-4:3-16:9", "has '1:1-4:3-16:9': give width:height"),
        ("", "has '': give width:height"),
    ],
)
def test_aspects_that_are_none_are_refused(
    tmp_path: Path,
    stand_ins: StandIns,
    capsys: pytest.CaptureFixture[str],
    aspects: str,
    complaint: str,
) -> None:
    assert engine(rect_repository(tmp_path), "--aspects", aspects) == 1
    assert complaint in capsys.readouterr().err
    assert stand_ins.builds == []


def test_aspects_of_whole_frames_and_of_an_old_trtexec_are_refused(
    tmp_path: Path, stand_ins: StandIns, capsys: pytest.CaptureFixture[str]
) -> None:
    assert engine(tensorrt_repository(tmp_path), "--aspects", "4:3") == 1
    assert "--aspects is for pipelines whose frames are the smallest rectangles" in (
        capsys.readouterr().err
    )
    folder = tmp_path / "rect"
    folder.mkdir()
    stand_ins.tell(options=TENSORRT_8)
    assert engine(rect_repository(folder)) == 1
    assert "compiles for frames of one size only: build the pipeline with --shape square" in (
        capsys.readouterr().err
    )
    assert stand_ins.builds == []


def test_pipelines_without_a_plan_of_their_own_are_left_alone(
    tmp_path: Path, stand_ins: StandIns, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = tensorrt_repository(tmp_path, "on_cpu", runtime=Runtime.PYTHON)
    assert engine(repository) == 1
    assert "found on_cpu (python): build one with" in capsys.readouterr().err
    tensorrt_repository(tmp_path)
    assert engine(repository) == 0
    assert len(stand_ins.builds) == 1
    assert "tiny" in capsys.readouterr().out


def test_a_cache_that_cannot_be_written_is_refused(
    tmp_path: Path, stand_ins: StandIns, capsys: pytest.CaptureFixture[str]
) -> None:
    assert engine(tensorrt_repository(tmp_path), "--cache", str(tmp_path / "tiny.onnx")) == 1
    said = capsys.readouterr().err
    assert "name another with --cache" in said
    assert stand_ins.builds == []


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v100500] [b18] # trtexec --help", "10.5.0.18"),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v101401] [b48] # trtexec", "10.14.1.48"),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v110100] [b106]", "11.1.0.106"),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v100300] # trtexec", "10.3.0"),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v8601] # trtexec", "8.6.1"),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v11.1.0.106] [b48] # trtexec", "11.1.0.106"),
        ("error while loading shared libraries: libnvinfer.so.10", None),
    ],
)
def test_the_version_is_read_from_the_banners_of_all_generations(
    output: str, version: str | None
) -> None:
    assert tensorrt_version(output) == version


def test_a_trtexec_that_does_not_run_is_reported(
    tmp_path: Path, stand_ins: StandIns, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = "#!/bin/sh\necho error while loading shared libraries: libnvinfer.so.10\nexit 127\n"
    (stand_ins.home / "trtexec").write_text(broken)
    assert engine(tensorrt_repository(tmp_path)) == 1
    said = capsys.readouterr().err
    assert "did not say which TensorRT it is (error while loading shared libraries" in said
