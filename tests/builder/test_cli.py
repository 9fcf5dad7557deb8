from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from builder.cli import main
from tests.serving import framewire
from tests.tiny_detector import save_tiny_detector


def test_build_says_what_it_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    repository = tmp_path / "repository"
    options = ["--name", "tiny", "--repository", str(repository)]
    assert main(["build", str(model), *options, "--iou", "0.5", "--class-agnostic"]) == 0
    assert (
        "version 1, yolov8 head, 64x64 rect, 3 classes, fp32, batches up to 16"
        in capsys.readouterr().out
    )
    settings = json.loads((repository / "tiny_postprocess" / "1" / "settings.json").read_text())
    assert settings["iou"] == "0.5"
    assert settings["class_agnostic"] == "true"


def test_a_refusal_is_one_sentence_and_a_failing_exit(tmp_path: Path) -> None:
    done = subprocess.run(
        framewire(*["build", "missing.onnx", "--name", "x", "--repository", "r"]),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("framewire: there is no model file")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_name_of_two_lines_does_not_make_two_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(tmp_path / "two\nlines\x1b[2J.onnx")]) == 1
    error = capsys.readouterr().err
    assert "two lines [2J.onnx" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("timeout", ["nan", "inf", "0", "-5"])
def test_a_time_that_never_ends_is_refused(
    timeout: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = ["--url", "127.0.0.1:1", f"--timeout={timeout}"]
    assert main(["load", "tiny", "--repository", "r", *url]) == 1
    assert "--timeout must be" in capsys.readouterr().err


COMMANDS = (
    *("build", "check", "demo", "engine", "inspect", "list", "load"),
    *("model-analyzer", "prune", "rollback", "serve", "tune", "verify"),
)


@pytest.mark.parametrize("command", [[], *([command] for command in COMMANDS)])
def test_help_is_there(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([*command, "--help"])
    assert end.value.code == 0
    assert "usage: framewire" in capsys.readouterr().out


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.split()}
    assert set(COMMANDS) <= listed
