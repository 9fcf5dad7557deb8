"""Repositories that are missing, damaged, half published, nameless or of another contract."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from builder import __version__
from builder.cli import main
from builder.doctor.examination import LOOKS
from builder.pipelines.publication import left_overs
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from builder.tensorrt.engine_options import EngineOptions
from tests.builder.doctor.examining import command_line, doctor
from tests.builder.engine_stand_ins import StandIns, engine, tensorrt_repository
from tests.killing import Killer
from tests.tiny_detector import tiny_detector
from thin_client.contract import contract_fingerprint

MOST_STEPS = 200


def test_no_repository(tmp_path: Path) -> None:
    said = doctor("--repository", tmp_path / "nowhere")
    assert "`framewire build MODEL.onnx" in said.the("repository-missing")


def test_a_pipeline_that_lacks_a_file(repository: Path) -> None:
    (repository / "tiny_postprocess" / "1" / "model.py").unlink()
    told = doctor("--repository", repository).the("pipeline-damaged")
    assert told.startswith("error: tiny_postprocess lacks 1/model.py | build the pipeline again")


def test_a_change_that_was_killed(tmp_path: Path, repository: Path) -> None:
    kill_a_build(repository, tmp_path / "tiny.onnx")
    said = doctor("--repository", repository)
    told = said.the("half-published")
    assert f".{repository.name}.framewire-build-" in told
    mend = re.findall(r"`framewire ([^`]*)`", told)[0]
    assert main(mend.split()) == 0
    assert "half-published" not in doctor("--repository", repository).names()


def kill_a_build(repository: Path, model: Path) -> None:
    """Half-way: when it has begun to put something together beside the repository."""
    build = ("build", str(model), "--repository", str(repository), "--name", "other")
    with Killer() as killer:
        for step in range(MOST_STEPS):
            assert killer.run(step, *build) == -9
            if left_overs(repository.resolve()):
                return


def test_a_change_that_somebody_is_making_is_no_leftover(
    tmp_path: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = []

    def approve(*_: object) -> None:
        found.append(doctor("--repository", repository))

    settings = BuildSettings("other")
    build_pipeline(tmp_path / "tiny.onnx", repository, settings, approve=approve)
    assert "half-published" not in found[0].names()


PLAN_IN_THE_MAKING = """
import sys
from pathlib import Path
from builder.tensorrt.engine_cache import BUILDING, working_folder
with working_folder(Path(sys.argv[1]), BUILDING):
    print("begun", flush=True)
    sys.stdin.read()
"""


def test_the_folder_of_a_plan_whose_compilation_was_killed(repository: Path) -> None:
    cache = EngineOptions().cache_folder(repository)
    with subprocess.Popen(
        [sys.executable, "-c", PLAN_IN_THE_MAKING, str(cache)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        assert "leftover-plan-folder" not in doctor("--repository", repository).names()
        process.kill()
    assert f"{cache}/building-" in doctor("--repository", repository).the("leftover-plan-folder")


def test_a_version_that_only_some_models_have(tmp_path: Path, repository: Path) -> None:
    build_pipeline(tmp_path / "tiny.onnx", repository, BuildSettings("tiny", conf=0.4))
    shutil.rmtree(repository / "tiny" / "1")
    told = doctor("--repository", repository).the("half-version")
    assert "version 1 of tiny" in told
    mend = told.rpartition(" | ")[2].strip("`").split()
    assert mend[0] == "rm"
    subprocess.run(mend, check=True)
    said = doctor("--repository", repository)
    assert not said.names() & {"half-version", "pipeline-damaged"}


def test_a_version_that_is_loaded_beside_the_active_one(tmp_path: Path, repository: Path) -> None:
    build_pipeline(tmp_path / "tiny.onnx", repository, BuildSettings("tiny", conf=0.4))
    told = doctor("--repository", repository).the("old-version-loaded")
    assert told.startswith("hint: version 1 of tiny is loaded beside the active one")
    assert "`framewire prune tiny" in told


def test_classes_that_are_only_numbers(tmp_path: Path) -> None:
    names = {"task": "detect", "stride": "32", "imgsz": "[64, 64]"}
    model = tiny_detector(metadata={**names, "names": str({0: "0", 1: "1", 2: "2"})})
    onnx.save(model, tmp_path / "numbers.onnx")
    build_pipeline(tmp_path / "numbers.onnx", tmp_path / "models", BuildSettings("tiny"))
    told = doctor("--repository", tmp_path / "models").the("labels-missing")
    assert told.startswith("warning: 3 of the 3 classes of tiny in")
    assert "--labels FILE" in told


def test_classes_that_were_numbered_on_purpose(tmp_path: Path) -> None:
    onnx.save(tiny_detector(metadata={"task": "detect"}), tmp_path / "nameless.onnx")
    build = ["build", str(tmp_path / "nameless.onnx"), "--name", "tiny", "--number-classes"]
    assert main([*build, "--repository", str(tmp_path / "models")]) == 0
    assert doctor("--repository", tmp_path / "models").the("labels-numbered").startswith("hint: ")


def test_fewer_names_than_classes(repository: Path) -> None:
    labels = repository / "tiny" / "1" / "labels.txt"
    labels.write_text("red\ngreen\n")
    change_parameter(repository, "tiny", "labels", json.dumps(["red"]))
    of_file, of_config = sorted(
        doctor("--repository", repository).all_of("labels-missing"), reverse=True
    )
    assert "the labels.txt of tiny" in of_file
    assert "names 2 classes and the network has 3" in of_file
    assert "the config of tiny" in of_config
    assert "names 1 classes and the network has 3" in of_config


def change_parameter(repository: Path, model: str, name: str, value: str) -> None:
    """As another version of the builder, or somebody's hand, would have written it."""
    file = repository / model / "config.pbtxt"
    pattern = rf'(key: "{name}"\s+value {{\s+string_value: )"(?:[^"\\]|\\.)*"'
    text, count = re.subn(pattern, lambda found: found[1] + json.dumps(value), file.read_text())
    assert count == 1
    file.write_text(text)


def test_a_pipeline_of_another_contract(repository: Path) -> None:
    change_parameter(repository, "tiny", "contract_fingerprint", "0123456789abcdef")
    change_parameter(repository, "tiny", "builder_version", "0.0.3")
    told = doctor("--repository", repository).the("contract-mismatch")
    assert told.startswith("error: tiny in ")
    assert "was built by framewire 0.0.3 and speaks contract 0123456789abcdef" in told
    assert f"speaks {contract_fingerprint()}" in told


def test_a_pipeline_without_a_contract(repository: Path) -> None:
    file = repository / "tiny" / "config.pbtxt"
    file.write_text(file.read_text().replace('"contract_fingerprint"', '"something_else"'))
    told = doctor("--repository", repository).the("contract-mismatch")
    assert "and speaks contract none, framewire-client" in told


def test_a_pipeline_of_another_builder_and_the_same_contract(repository: Path) -> None:
    change_parameter(repository, "tiny", "builder_version", "0.0.3")
    told = doctor("--repository", repository).the("built-by-another-version")
    assert told.startswith("hint: ")
    assert f"built by framewire 0.0.3 and this is {__version__}" in told


def test_a_plan_that_nobody_made(tmp_path: Path, stand_ins: StandIns) -> None:
    said = doctor("--repository", tensorrt_repository(tmp_path))
    assert said.the("plan-missing").startswith("warning: the plan of tiny is missing | ")
    assert "`framewire engine --repository" in said.the("plan-missing")


def test_a_plan_of_another_tensorrt(tmp_path: Path, stand_ins: StandIns) -> None:
    repository = tensorrt_repository(tmp_path)
    assert engine(repository) == 0
    assert not doctor("--repository", repository).names() & {"plan-missing", "plan-does-not-fit"}
    stand_ins.tell(version="101300", build="9")
    told = doctor("--repository", repository).the("plan-does-not-fit")
    assert told.startswith("error: the plan of tiny was compiled by TensorRT 10.5.0.18")
    assert "here is 10.13.0.9" in told


def test_a_plan_of_another_gpu(tmp_path: Path, stand_ins: StandIns) -> None:
    repository = tensorrt_repository(tmp_path)
    assert engine(repository) == 0
    stand_ins.tell(gpus=["NVIDIA H200, 9.0"])
    assert "NVIDIA H200" in doctor("--repository", repository).the("plan-does-not-fit")


def test_a_network_that_the_embedded_triton_cannot_run(tmp_path: Path) -> None:
    told = doctor("--repository", tensorrt_repository(tmp_path)).the("backend-missing")
    assert told.startswith("error: tiny_network is a tensorrt_plan")
    assert "--runtime python" in told


def test_nothing_is_written(tmp_path: Path, repository: Path) -> None:
    kill_a_build(repository, tmp_path / "tiny.onnx")
    before = state(tmp_path)
    doctor("--repository", repository)
    assert state(tmp_path) == before


def state(folder: Path) -> dict[str, tuple[float, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


def test_what_cannot_be_looked_at_is_said_and_the_rest_goes_on(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setitem(LOOKS, "labels", broken)
    main(command_line("--repository", repository)[3:])
    report = json.loads(capsys.readouterr().out)
    assert report["not_looked_at"]["labels"] == "ZeroDivisionError: division by zero"
    assert "contract" in report["looked_at"]


def test_a_terminal_that_knows_ascii_only(repository: Path) -> None:
    renamed = repository.rename(repository.with_name("modèles\x1b[31m"))
    done = subprocess.run(
        [word for word in command_line("--repository", renamed) if word != "--json"],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "mod?les" in done.stdout
    assert "\x1b" not in done.stdout
