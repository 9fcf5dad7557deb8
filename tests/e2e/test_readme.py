"""What the README tells people to type does what it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.serving import Serving, serving
from tests.tiny_detector import save_tiny_detector
from thin_client.contract import PIPELINE_OUTPUTS, ImageStatus

README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"^    (\.venv/bin/\S+ .*)$", README, re.MULTILINE)
MODULES = {"framewire": "builder.cli", "framewire-client": "thin_client.cli"}


def command_line(command: str, *extra: str) -> list[str]:
    program, *arguments = command.split()
    files = [path for argument in arguments for path in expand(argument)]
    return [sys.executable, "-m", MODULES[Path(program).name], *files, *extra]


def expand(argument: str) -> list[str]:
    return sorted(map(str, ROOT.glob(argument))) if "*" in argument else [argument]


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def the_command(start: str) -> str:
    (command,) = [command for command in COMMANDS if command.startswith(f".venv/bin/{start}")]
    return command


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_python_snippets_print_detections(server: Serving, snippet: str) -> None:
    assert "localhost:8001" in snippet
    output = run([sys.executable, "-c", snippet.replace("localhost:8001", server.url)], ROOT)
    assert output.strip()


def test_there_are_snippets_and_commands_to_run() -> None:
    assert len(SNIPPETS) == 2
    assert len(COMMANDS) == 5


def test_serving_the_demo_pipeline_and_asking_it(tmp_path: Path) -> None:
    assert the_command("framewire serve --repository model_repository")
    client = the_command("framewire-client image samples")
    with serving(ROOT / "model_repository") as running:
        output = run(command_line(client, "--url", running.url), ROOT)
    lines = [json.loads(line) for line in output.splitlines()]
    assert len(lines) == len(list((ROOT / "samples").glob("*.jpg")))
    assert any(line["detections"] for line in lines)


def test_building_and_serving_a_model_of_ones_own(tmp_path: Path) -> None:
    save_tiny_detector(tmp_path / "yolo11n.onnx")
    (tmp_path / "street.jpg").write_bytes((ROOT / "samples" / "desk.jpg").read_bytes())
    built = run(command_line(the_command("framewire build")), tmp_path)
    assert "built yolo11n in my_models: yolov8 head, 64x64, 3 classes" in built
    assert the_command("framewire serve --repository my_models")
    client = the_command("framewire-client image street.jpg")
    with serving(tmp_path / "my_models") as running:
        assert "street.jpg" in run(command_line(client, "--url", running.url), tmp_path)


def test_the_status_codes_of_the_contract_are_all_there() -> None:
    row = next(line for line in README.splitlines() if line.startswith("| `image_status`"))
    for status in ImageStatus:
        assert f"{int(status)} {status.name.lower().replace('_', ' ')}" in row
    for tensor in PIPELINE_OUTPUTS:
        assert f"| `{tensor.name}` out | {tensor.datatype} " in README
