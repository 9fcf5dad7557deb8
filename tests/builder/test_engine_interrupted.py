"""What is left when ``framewire engine`` or its trtexec fails, is stopped or is killed.

See ``engine_stand_ins`` for what the stand-ins prove and what they do not.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.pipelines.manifest import active_version
from builder.tensorrt.plan import check_plan
from tests.builder.engine_stand_ins import (
    L4,
    StandIns,
    contents,
    engine,
    network_folder,
    tensorrt_repository,
)
from tests.serving import framewire

# Puts a plan into the repository and dies, as by SIGKILL, before one of the renames.
KILLED_PUT = """
import os, sys
from pathlib import Path
from builder.detectors.onnx_file import sha256_of
from builder.tensorrt.plan import Fingerprint
from builder.tensorrt.plan_publication import put_plan

repository, plan, renames_left = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
rename = Path.replace

def rename_or_die(self, other):
    global renames_left
    if renames_left == 0:
        os._exit(9)
    renames_left -= 1
    return rename(self, other)

Path.replace = rename_or_die
network = repository / "tiny_network" / "1" / "model.onnx"
put_plan(repository, "tiny", plan, Fingerprint(
    sha256_of(network), "10.5.0.18", "8.9", "NVIDIA L4", ("--stronglyTyped",), 4, sha256_of(plan)
))
"""


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIns:
    made = StandIns(tmp_path / "bin")
    made.put_on_path(monkeypatch)
    return made


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tensorrt_repository(tmp_path)


def test_a_failing_trtexec_is_quoted_and_changes_nothing(
    repository: Path, stand_ins: StandIns, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(repository)
    stand_ins.tell(ends="fails")
    assert engine(repository) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "exit code 1 (Error[4]: In node 3 with name: /nms and operator: NonZero)" in said
    assert contents(repository) == before
    cache = repository.parent / ".r.framewire-cache"
    assert sorted(path.name for path in cache.rglob("*")) == ["plans", "tiny.trtexec.log"]
    assert "Engine set up failed" in (cache / "tiny.trtexec.log").read_text()


def test_a_killed_trtexec_changes_nothing(
    repository: Path, stand_ins: StandIns, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(repository)
    stand_ins.tell(ends="killed")
    assert engine(repository) == 1
    assert "killed by SIGKILL" in capsys.readouterr().err
    assert contents(repository) == before


def test_a_trtexec_without_a_plan_is_not_believed(
    repository: Path, stand_ins: StandIns, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_ins.tell(ends="without a plan")
    assert engine(repository) == 1
    assert "without a plan of tiny" in capsys.readouterr().err
    assert not (network_folder(repository) / "model.plan").exists()


def test_a_network_built_anew_meanwhile_gets_no_plan_of_the_old_one(
    repository: Path, stand_ins: StandIns, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_ins.tell(overwrites=str(network_folder(repository) / "model.onnx"))
    assert engine(repository) == 1
    assert "was built anew while its plan was compiled" in capsys.readouterr().err
    assert not (network_folder(repository) / "model.plan").exists()


@pytest.mark.parametrize(
    ("stopped_by", "code"), [(signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_stopped_engine_stops_trtexec_and_changes_nothing(
    repository: Path, stand_ins: StandIns, stopped_by: signal.Signals, code: int
) -> None:
    before = contents(repository)
    stand_ins.tell(ends="never")
    command = framewire("engine", "--repository", str(repository))
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        hangs = stand_ins.home / "hangs"
        try:
            wait_until(hangs.exists)
            process.send_signal(stopped_by)
            process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == code
    wait_until(lambda: ended(int(hangs.read_text())))
    assert contents(repository) == before
    stand_ins.tell(ends="well")
    assert engine(repository) == 0
    cache = repository.parent / ".r.framewire-cache"
    assert not list(cache.glob("building-*"))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize("renames", range(3))
def test_a_kill_while_the_plan_is_put_in_place_leaves_it_whole_or_absent(
    repository: Path, stand_ins: StandIns, tmp_path: Path, renames: int
) -> None:
    plan = tmp_path / "made.plan"
    plan.write_bytes(b"plan")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_PUT, str(repository), str(plan), str(renames)], check=False
    )
    finished = killed.returncode == 0
    assert finished == (renames == 2)
    assert killed.returncode in {0, 9}
    if finished:
        check_plan(repository, "tiny", L4)
    else:
        assert not (network_folder(repository) / "model.plan").exists()
    assert engine(repository, "--force") == 0
    check_plan(repository, "tiny", L4)
    assert active_version(repository, "tiny") == (2 if finished else 1)
    assert [path.name for path in tmp_path.glob(".r.*")] == [".r.framewire-cache"]


def test_a_damaged_network_is_not_compiled(
    repository: Path, stand_ins: StandIns, capsys: pytest.CaptureFixture[str]
) -> None:
    (network_folder(repository) / "model.onnx").write_bytes(b"half a network")
    assert engine(repository) == 1
    (network_folder(repository) / "model.onnx").unlink()
    assert engine(repository) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "model.onnx is not an ONNX file, or a truncated one" in first
    assert "there is no model file" in second
    assert stand_ins.builds == []
