from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from builder.cli import main
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from tests.conftest import ROOT
from tests.serving import framewire, port_options
from tests.tiny_detector import save_tiny_detector

IMAGES = [ROOT / "samples" / name for name in ("desk.jpg", "launch.jpg")]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    model = save_tiny_detector(folder / "tiny.onnx")
    for name in ("tiny", "other"):
        build_pipeline(model, folder / "repository", BuildSettings(name, max_batch=4))
    return folder / "repository"


def write(repository: Path, out: Path, *options: str, images: list[Path] = IMAGES) -> int:
    where = ["--repository", str(repository), "--out", str(out)]
    return main(["model-analyzer", *map(str, images), "--name", "tiny", *where, *options])


def written(repository: Path, out: Path, *options: str, model: str = "tiny") -> dict[str, Any]:
    assert write(repository, out, *options) == 0
    config: dict[str, Any] = yaml.safe_load((out / model / "config.yaml").read_text())
    return config


def test_an_ensemble_is_searched_with_its_three_steps(repository: Path, tmp_path: Path) -> None:
    options = ["--p99-ms", "40", "--max-instances", "3", "--max-concurrency", "64"]
    config = written(repository, tmp_path, *options, "--trials", "5", "--window-ms", "700")
    assert list(config["profile_models"]) == ["tiny"]
    profiled = config["profile_models"]["tiny"]
    assert profiled["objectives"] == ["perf_throughput"]
    assert profiled["constraints"] == {"perf_latency_p99": {"max": 40}}
    assert profiled["perf_analyzer_flags"]["measurement-interval"] == 700
    assert config["cpu_only_composing_models"] == [
        *("tiny_preprocess", "tiny_network", "tiny_postprocess")
    ]
    assert "bls_composing_models" not in config
    assert config["run_config_search_max_instance_count"] == 3
    assert config["run_config_search_max_concurrency"] == 64
    assert config["run_config_search_max_model_batch_size"] == 4
    assert config["optuna_min_trials"] == config["optuna_max_trials"] == 5


def test_the_bls_variant_is_searched_with_the_network_it_calls(
    repository: Path, tmp_path: Path
) -> None:
    config = written(repository, tmp_path, "--bls", model="tiny_bls")
    assert list(config["profile_models"]) == ["tiny_bls"]
    assert config["profile_models"]["tiny_bls"]["cpu_only"] is True
    assert config["bls_composing_models"] == ["tiny_network"]
    assert config["cpu_only_composing_models"] == ["tiny_network"]


@pytest.mark.parametrize(("asked", "bound"), [("2", 2), ("64", 4)])
def test_batches_stay_within_what_was_built(
    repository: Path, tmp_path: Path, asked: str, bound: int
) -> None:
    config = written(repository, tmp_path, "--max-batch", asked)
    assert config["run_config_search_max_model_batch_size"] == bound


def test_everything_the_config_names_is_there(repository: Path, tmp_path: Path) -> None:
    config = written(repository, tmp_path)
    for program in ("triton_server_path", "perf_analyzer_path"):
        assert os.access(config[program], os.X_OK)
    for folder in ("export_path", "checkpoint_directory"):
        assert Path(config[folder]).is_dir()
    served = Path(config["model_repository"])
    assert sorted(model.name for model in served.iterdir()) == [
        *("tiny", "tiny_bls", "tiny_network", "tiny_postprocess", "tiny_preprocess")
    ]
    assert (served / "tiny_network" / "config.pbtxt").is_file()


def test_the_images_are_sent_as_byte_strings_with_their_length(
    repository: Path, tmp_path: Path
) -> None:
    config = written(repository, tmp_path)
    data = Path(config["profile_models"]["tiny"]["perf_analyzer_flags"]["input-data"])
    for image, sent in zip(IMAGES, json.loads(data.read_text())["data"], strict=True):
        element = base64.b64decode(sent["image"]["content"]["b64"])
        assert element == len(image.read_bytes()).to_bytes(4, "little") + image.read_bytes()


def test_the_ports_are_those_asked_for_on_loopback(repository: Path, tmp_path: Path) -> None:
    ports = ["--grpc-port", "9001", "--http-port", "9000", "--metrics-port", "9002"]
    config = written(repository, tmp_path, *ports)
    assert config["triton_grpc_endpoint"] == "127.0.0.1:9001"
    assert config["triton_http_endpoint"] == "127.0.0.1:9000"
    assert config["triton_metrics_url"] == "http://127.0.0.1:9002/metrics"


def test_measurements_are_kept_for_the_same_search_and_only_for_that(
    repository: Path, tmp_path: Path
) -> None:
    first = written(repository, tmp_path)["checkpoint_directory"]
    kept = Path(first, "0.ckpt")
    kept.write_text("measured")
    assert written(repository, tmp_path)["checkpoint_directory"] == first
    assert kept.read_text() == "measured"
    assert written(repository, tmp_path, "--trials", "3")["checkpoint_directory"] != first
    assert write(repository, tmp_path, images=IMAGES[:1]) == 0
    config = yaml.safe_load((tmp_path / "tiny" / "config.yaml").read_text())
    assert config["checkpoint_directory"] != first


def test_a_rebuilt_pipeline_is_measured_anew(tmp_path: Path) -> None:
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    build_pipeline(model, tmp_path / "repository", BuildSettings("tiny"))
    first = written(tmp_path / "repository", tmp_path / "out")["checkpoint_directory"]
    build_pipeline(model, tmp_path / "repository", BuildSettings("tiny", conf=0.5))
    assert written(tmp_path / "repository", tmp_path / "out")["checkpoint_directory"] != first


def test_without_run_the_command_is_printed_and_need_not_be_installed(
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    assert write(repository, tmp_path) == 0
    config = tmp_path / "tiny" / "config.yaml"
    assert (
        f"search: CUDA_VISIBLE_DEVICES='' model-analyzer profile -f {config}\n"
        in capsys.readouterr().out
    )


def test_run_becomes_model_analyzer(repository: Path, tmp_path: Path) -> None:
    program = tmp_path / "model-analyzer"
    program.write_text('#!/bin/sh\necho "pid $$, GPUs <$CUDA_VISIBLE_DEVICES>, $@"\nexit 7\n')
    program.chmod(0o755)
    command = ["model-analyzer", *map(str, IMAGES), "--name", "tiny", "--repository"]
    options = ["--out", str(tmp_path), "--run", "--model-analyzer", str(program)]
    ports, _ = port_options()
    with subprocess.Popen(
        framewire(*command, str(repository), *options, *ports),
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "0"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        said, _ = process.communicate(timeout=60)
    config = tmp_path / "tiny" / "config.yaml"
    assert f"pid {process.pid}, GPUs <>, profile -f {config}\n" in said
    assert process.returncode == 7


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr().err
    assert said.startswith("framewire: ")
    assert said.count("\n") == 1
    return said


def test_a_pipeline_that_is_not_there_is_one_sentence(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write(repository, tmp_path, "--name", "missing") == 1
    assert "missing" in refused(capsys)
    assert list(tmp_path.iterdir()) == []


def test_two_pipelines_and_no_name_is_one_sentence(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--repository", str(repository), "--out", str(tmp_path)]
    assert main(["model-analyzer", str(IMAGES[0]), *where]) == 1
    assert "has 2 pipelines (other, tiny): choose one with --name" in refused(capsys)


def test_no_images_is_one_sentence(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert write(repository, tmp_path / "out", images=[empty]) == 1
    assert str(empty) in refused(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("named", [True, False])
def test_no_model_analyzer_to_run_is_one_sentence(
    named: bool,
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    program = ["--model-analyzer", str(tmp_path / "none")] if named else []
    assert write(repository, tmp_path / "out", "--run", *program) == 1
    said = refused(capsys)
    assert ("no model-analyzer at" if named else "on PATH or in this environment") in said
    assert "pip install triton-model-analyzer" in said
    assert not (tmp_path / "out").exists()


def test_a_folder_that_its_shell_would_split_is_one_sentence(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write(repository, tmp_path / "my results") == 1
    assert "choose a folder of letters" in refused(capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_repository_may_lie_where_a_shell_would_split_its_path(
    repository: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "my models"
    shutil.copytree(repository, moved)
    served = Path(written(moved, tmp_path / "out")["model_repository"])
    assert " " not in str(served)
    assert (served / "tiny_network" / "1" / "model.onnx").is_file()


def test_a_folder_that_cannot_be_made_is_one_sentence(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "file"
    taken.write_text("")
    assert write(repository, taken) == 1
    assert "choose another folder with --out" in refused(capsys)
