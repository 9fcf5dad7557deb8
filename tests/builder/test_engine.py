"""``framewire engine`` with stand-ins for trtexec and nvidia-smi.

See ``engine_stand_ins`` for what that proves and what it does not.
"""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from builder.detectors.onnx_file import sha256_of
from builder.pipelines.config_files import named_versions, read_config
from builder.pipelines.manifest import active_version
from builder.tensorrt.plan import check_plan, read_fingerprint
from tests.builder.engine_stand_ins import (
    L4,
    StandIns,
    contents,
    engine,
    network_folder,
    tensorrt_repository,
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tensorrt_repository(tmp_path)


def test_trtexec_is_told_shapes_types_and_files(repository: Path, stand_ins: StandIns) -> None:
    assert engine(repository, "--opt-batch", "2", "--workspace", "512") == 0
    assert stand_ins.build_options() == [
        "--minShapes=frame:1x64x64x3",
        "--optShapes=frame:2x64x64x3",
        "--maxShapes=frame:4x64x64x3",
        "--stronglyTyped",
        "--memPoolSize=workspace:512",
        "--skipInference",
    ]
    assert len(stand_ins.builds) == 1


def test_the_first_plan_goes_into_the_active_version_with_its_fingerprint(
    repository: Path, stand_ins: StandIns, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(repository)
    assert engine(repository) == 0
    after = contents(repository)
    added = {"tiny_network/1/model.plan", "tiny_network/1/model.plan.json"}
    assert after.keys() - before.keys() == added
    assert {name: after[name] for name in before} == before
    fingerprint = check_plan(repository, "tiny", L4)
    assert fingerprint.options[-1] == "--stronglyTyped"
    assert fingerprint.max_batch == 4
    said = capsys.readouterr().out
    assert "version 1 has a plan for TensorRT 10.5.0.18 on NVIDIA L4 (8.9)" in said
    assert said.count("\n") == 1


def test_nothing_of_ours_is_in_the_repository_or_left_over(
    repository: Path, stand_ins: StandIns
) -> None:
    models = sorted(path.name for path in repository.iterdir())
    assert engine(repository) == 0
    assert sorted(path.name for path in repository.iterdir()) == models
    cache = repository.parent / ".r.framewire-cache"
    kept = sorted(path.name for path in cache.iterdir())
    assert kept == ["plans", "timing-10.5.0.18-8.9.cache", "tiny.trtexec.log"]
    assert {path.name for path in repository.parent.iterdir()} == {
        *(".r.framewire-cache", "bin", "r", "tiny.onnx")
    }


def test_a_plan_that_fits_is_not_compiled_again(
    repository: Path, stand_ins: StandIns, capsys: pytest.CaptureFixture[str]
) -> None:
    assert engine(repository) == 0
    before = contents(repository)
    assert engine(repository) == 0
    assert len(stand_ins.builds) == 1
    assert contents(repository) == before
    assert "fits TensorRT 10.5.0.18 on NVIDIA L4 (8.9), nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("told", "options", "reason"),
    [
        ({"version": "101100", "build": "33"}, [], "compiled by TensorRT 10.5.0.18, and here is"),
        ({"gpus": ["NVIDIA A10, 8.6"]}, [], "compute capability 8.9 (NVIDIA L4), and the GPU"),
        ({}, ["--fp16"], "now --minShapes=frame:1x64x64x3 --optShapes=frame:4x64x64x3"),
        ({}, ["--force"], "was to be replaced (--force)"),
    ],
)
def test_a_plan_that_does_not_fit_is_replaced_by_a_new_version(
    repository: Path,
    stand_ins: StandIns,
    capsys: pytest.CaptureFixture[str],
    told: dict[str, object],
    options: list[str],
    reason: str,
) -> None:
    assert engine(repository) == 0
    before = contents(network_folder(repository))
    stand_ins.tell(**told)
    assert engine(repository, *options) == 0
    said = capsys.readouterr().out
    assert "version 2 has a plan" in said
    assert reason in said
    assert active_version(repository, "tiny") == 2
    assert contents(network_folder(repository)) == before
    # A server that reads this keeps the old one until it has the new one.
    assert set(named_versions(read_config(repository / "tiny_network"))) == {1, 2}
    assert engine(repository, *(["--fp16"] if "--fp16" in options else [])) == 0
    assert len(stand_ins.builds) == 2


def test_a_network_that_is_not_the_compiled_one_is_compiled_again(
    repository: Path, stand_ins: StandIns
) -> None:
    assert engine(repository) == 0
    file = network_folder(repository) / "model.onnx"
    model = onnx.load(file)
    model.producer_name = "somebody else"
    onnx.save(model, file)
    assert engine(repository) == 0
    assert active_version(repository, "tiny") == 2
    check_plan(repository, "tiny", L4)


def test_timings_are_kept_for_the_next_build_of_the_same_kind(
    repository: Path, stand_ins: StandIns, tmp_path: Path
) -> None:
    cache = tmp_path / "kept"
    same = ["--cache", str(cache), "--force"]
    assert engine(repository, *same) == 0
    assert engine(repository, *same) == 0
    assert (cache / "timing-10.5.0.18-8.9.cache").read_text() == "measured measured "
    stand_ins.tell(ends="fails")
    assert engine(repository, *same) == 1
    assert (cache / "timing-10.5.0.18-8.9.cache").read_text() == "measured measured "
    stand_ins.tell(ends="well", version="101100", build="33")
    assert engine(repository, *same) == 0
    assert (cache / "timing-10.11.0.33-8.9.cache").read_text() == "measured "


def test_the_gpu_that_is_asked_about_is_the_one_that_compiles(
    repository: Path, stand_ins: StandIns
) -> None:
    stand_ins.tell(gpus=["NVIDIA T4, 7.5", "NVIDIA L4, 8.9"])
    assert engine(repository, "--device", "1") == 0
    environment = stand_ins.builds[-1]["environment"]
    assert environment == {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    made = read_fingerprint(network_folder(repository))
    assert made is not None
    assert made.compute_capability == "8.9"


def test_a_graph_of_a_fixed_batch_brings_its_own_shapes(
    repository: Path, stand_ins: StandIns
) -> None:
    file = network_folder(repository) / "model.onnx"
    model = onnx.load(file)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    onnx.save(model, file)
    assert engine(repository) == 0
    assert stand_ins.build_options() == ["--stronglyTyped", "--skipInference"]


def test_the_fingerprint_says_all_of_it(repository: Path, stand_ins: StandIns) -> None:
    assert engine(repository, "--fp16") == 0
    folder = network_folder(repository)
    assert json.loads((folder / "model.plan.json").read_text()) == {
        "onnx_sha256": sha256_of(folder / "model.onnx"),
        "tensorrt_version": "10.5.0.18",
        "compute_capability": "8.9",
        "gpu": "NVIDIA L4",
        "options": [
            "--minShapes=frame:1x64x64x3",
            "--optShapes=frame:4x64x64x3",
            "--maxShapes=frame:4x64x64x3",
            "--fp16",
        ],
        "max_batch": 4,
        "plan_sha256": sha256_of(folder / "model.plan"),
    }
