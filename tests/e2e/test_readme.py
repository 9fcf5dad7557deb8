"""What the README tells people to type does what it says."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.documented import run
from tests.serving import Serving, serving
from thin_client.contract import PIPELINE_OUTPUTS, ImageStatus

README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"^    (\.venv/bin/\S+ .*)$", README, re.MULTILINE)
MODULES = {"framewire": "builder.cli", "framewire-client": "thin_client.cli"}
# In place of the pretrained yolo11n.pt, which CI cannot download.
CHECKPOINT = """
import sys
from pathlib import Path
from tests.heads.architectures import Architecture
from tests.heads.export_architectures import build, save_checkpoint
network = build(Architecture("yolo11n", "yolo11n.yaml", size=(320, 320)))
save_checkpoint(network, Path(sys.argv[1]))
"""


def command_line(command: str, *extra: str, folder: Path = ROOT) -> list[str]:
    program, *arguments = shlex.split(command, comments=True)
    files = [path for argument in arguments for path in expand(argument, folder)]
    return [sys.executable, "-m", MODULES[Path(program).name], *files, *extra]


def expand(argument: str, folder: Path) -> list[str]:
    return sorted(map(str, folder.glob(argument))) if "*" in argument else [argument]


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
    assert len(COMMANDS) == 12


def test_serving_the_demo_pipeline_and_asking_it(tmp_path: Path) -> None:
    assert the_command("framewire serve --repository model_repository")
    client = the_command("framewire-client image samples")
    with serving(ROOT / "model_repository") as running:
        output = run(command_line(client, "--url", running.url), ROOT)
    lines = [json.loads(line) for line in output.splitlines()]
    assert len(lines) == len(list((ROOT / "samples").glob("*.jpg")))
    assert any(line["detections"] for line in lines)


def test_building_verifying_and_serving_a_model_of_ones_own(tmp_path: Path) -> None:
    run([sys.executable, "-c", CHECKPOINT, str(tmp_path / "yolo11n.pt")], ROOT)
    (tmp_path / "images").mkdir()
    for name in ("desk.jpg", "yard.jpg"):
        shutil.copy(ROOT / "samples" / name, tmp_path / "images")
    shutil.copy(ROOT / "samples" / "desk.jpg", tmp_path / "street.jpg")
    section = README[README.index("## Your own model") : README.index("## Clients")]
    commands = [command for command in COMMANDS if f"    {command}" in section]
    of_builder = [c for c in commands if "/framewire " in c and " serve " not in c]
    assert [command.split()[1] for command in of_builder] == [
        *("build", "inspect", "build", "verify", "list", "rollback", "check")
    ]
    said = [run(command_line(command, folder=tmp_path), tmp_path) for command in of_builder]
    first, inspected, second, verified, listed, back, _ = said
    assert "built yolo11n in my_models: version 1, yolov8 head, 320x320 rect, 3 classes" in first
    assert "yolov8" in inspected
    assert "version 2" in second
    assert " matched " in second
    assert " matched " in verified
    assert "active" in listed
    assert "version 1" in back
    client = the_command("framewire-client image street.jpg")
    with serving(tmp_path / "my_models") as running:
        assert "street.jpg" in run(command_line(client, "--url", running.url), tmp_path)


def test_the_status_codes_of_the_contract_are_all_there() -> None:
    row = next(line for line in README.splitlines() if line.startswith("| `image_status`"))
    for status in ImageStatus:
        assert f"{int(status)} {status.name.lower().replace('_', ' ')}" in row
    for tensor in PIPELINE_OUTPUTS:
        assert f"| `{tensor.name}` out | {tensor.datatype} " in README
