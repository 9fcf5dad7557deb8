"""What ``framewire tune`` refuses before it measures anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.cli import main
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings, Runtime
from tests.conftest import ROOT
from tests.tiny_detector import save_tiny_detector

IMAGE = str(ROOT / "samples" / "desk.jpg")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return built(tmp_path)


def built(folder: Path, runtime: Runtime = Runtime.PYTHON) -> Path:
    settings = BuildSettings("tiny", runtime=runtime)
    build_pipeline(save_tiny_detector(folder / "tiny.onnx"), folder / "r", settings)
    return folder / "r"


def refused(capsys: pytest.CaptureFixture[str], repository: Path, *options: str) -> str:
    # All but the last check come before it is looked for.
    out = repository.parent / "out"
    nowhere = ["--out", str(out), "--perf-analyzer", "nowhere"]
    assert main(["tune", IMAGE, "--repository", str(repository), *nowhere, *options]) == 1
    assert not out.exists()
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("runtime", [Runtime.TENSORRT, Runtime.ONNXRUNTIME])
def test_a_network_that_the_embedded_server_cannot_run(
    tmp_path: Path, runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, built(tmp_path, runtime))
    assert f"cannot run tiny, whose network is built with --runtime {runtime.value}" in said


def test_a_pipeline_of_another_builder(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in repository.glob("*/1/settings.json"):
        file.write_text("{}")
    said = refused(capsys, repository)
    assert "built before there was decoder and instances and decode_threads to choose" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--instances", "1,0"], "--instances must be from 1 to 256, got 0"),
        (["--keep", "0"], "--keep must be at least 1"),
        (["--name", "other"], "has no pipeline other"),
        (["--precisions", "bf16,int8"], "name them with --calibrate IMAGES"),
        (["--precisions", "fp32,bf16"], "there is no perf_analyzer at nowhere"),
        ([], "there is no perf_analyzer at nowhere"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(
    repository: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert said in refused(capsys, repository, *options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rounds", "2"], "must be at least 3, got 2"),
        (["--p99-ms", "0"], "must be more than 0, got 0"),
        (["--p99-ms", "nan"], "must be more than 0, got nan"),
        (["--instances", "two"], "argument --instances"),
        (["--precisions", "fp32,fp16"], "'fp16' is none of fp32, bf16, int8"),
    ],
)
def test_options_that_mean_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    with pytest.raises(SystemExit):
        main(["tune", IMAGE, "--repository", str(tmp_path / "none"), *options])
    assert said in capsys.readouterr().err
