"""What is read of other processes, and what is not to be seen of them."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builder.doctor import leftovers, processes
from builder.doctor.case import Case
from builder.doctor.environment import open_endpoints
from builder.doctor.finding import CannotLook
from builder.doctor.leftovers import look_for_regions, look_for_scratch_folders
from builder.doctor.processes import is_locked, mapped_in, option_of
from builder.serving.server import SCRATCH_PREFIX

REGION = "framewire_1_00_" + 36 * "x"
# Like a stub: it has the name, and a file of shared memory in its memory.
STUB = """
import ctypes, mmap, os, sys
libc = ctypes.CDLL(None)
libc.prctl(15, b"triton_python_b", 0, 0, 0)
descriptor = os.open(sys.argv[1], os.O_RDWR)
mapped = mmap.mmap(descriptor, 4096)
os.close(descriptor)
print("mapped", flush=True)
sys.stdin.read()
"""


# Looks from where nobody of this machine may be looked at.
APART = ("unshare", "--user", "--map-root-user", sys.executable, "-c")
LOOK = """
import sys
from pathlib import Path
from builder.doctor import case, leftovers
case.SHM_FOLDER = leftovers.SHM_FOLDER = Path(sys.argv[1])
seen = leftovers.look_for_regions(case.Case(None, None, None, {}, None, 0.1))
print(seen.words, *(each.name for each in seen.findings), sep="; ")
"""


@contextmanager
def a_stub(region: Path) -> Iterator[int]:
    """A process that has a region."""
    with subprocess.Popen(
        [sys.executable, "-c", STUB, str(region)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "mapped\n"
        yield process.pid
        process.kill()


@contextmanager
def sleeping(*words: str) -> Iterator[int]:
    """A process with some words on its command line."""
    command = [sys.executable, "-c", "import time; time.sleep(60)", *words]
    with subprocess.Popen(command) as process:
        while words[0] not in processes.command_line(process.pid) and process.poll() is None:
            time.sleep(0.01)  # until it is no fork of this one any more
        yield process.pid
        process.kill()


@pytest.mark.parametrize("words", [("--model-repository=/a b",), ("--model-repository", "/a b")])
def test_options_are_read_as_triton_reads_them(words: tuple[str, ...]) -> None:
    with sleeping(*words, "--other") as pid:
        assert option_of(pid, "--model-repository") == "/a b"
        assert option_of(pid, "--model") is None
        assert option_of(pid, "--other") is None


@pytest.mark.parametrize(
    ("options", "reachable"),
    [
        ((), ["0.0.0.0 (gRPC)", "0.0.0.0 (HTTP)"]),
        (("--grpc-address=127.0.0.1",), ["0.0.0.0 (HTTP)"]),
        (("--http-address", "127.0.0.1"), ["0.0.0.0 (gRPC)"]),
        (("--grpc-use-ssl-mutual=true",), ["0.0.0.0 (HTTP)"]),
        (("--grpc-use-ssl-mutual=true", "--allow-http=false"), []),
        (("--grpc-restricted-protocol=x:k=v", "--http-restricted-api=x:k=v"), []),
    ],
)
def test_where_others_may_change_a_server(options: tuple[str, ...], reachable: list[str]) -> None:
    with sleeping("tritonserver", *options) as pid:
        address = option_of(pid, "--grpc-address") or "0.0.0.0"  # noqa: S104 - Triton's default
        assert open_endpoints(pid, address) == reachable


def test_of_a_process_that_is_gone_nothing_is_read() -> None:
    with sleeping("gone") as pid:
        pass
    assert processes.name_of(pid) == ""
    assert processes.state_of(pid) == ""
    assert processes.parent_of(pid) is None
    assert option_of(pid, "gone") is None
    assert processes.listening_ports(pid) == []


def test_a_lock_that_proc_does_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "LOCKS", tmp_path / "none")
    assert not is_locked(tmp_path)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert is_locked(tmp_path)
    os.close(descriptor)
    # And looking leaves none behind.
    assert not is_locked(tmp_path)


@pytest.fixture
def region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that stands for a region, in a folder that stands for /dev/shm."""
    monkeypatch.setattr("builder.doctor.leftovers.SHM_FOLDER", tmp_path)
    monkeypatch.setattr("builder.doctor.case.SHM_FOLDER", tmp_path)
    (tmp_path / REGION).write_bytes(bytes(4096))
    return tmp_path / REGION


def here() -> Case:
    return Case(repository=None, server=None, silent=None, ports={}, triton=None, watch_s=0.1)


def test_a_region_is_a_leftover_once_nobody_has_it(region: Path) -> None:
    with a_stub(region):
        assert mapped_in(region.parent)[0] == {REGION}
        assert not look_for_regions(here()).findings
    (found,) = look_for_regions(here()).findings
    assert found.name == "leftover-shared-memory"
    assert f"`rm {region.parent}/framewire_1_00_*`" in found.mend


def look_from_apart(folder: Path) -> str:
    done = subprocess.run(
        [*APART, LOOK, str(folder)], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def test_a_region_that_a_hidden_process_may_have_is_none(region: Path) -> None:
    with a_stub(region):
        said = look_from_apart(region.parent)
    assert said.startswith("1 of models, none that a killed server left, 1 of other users")
    assert "leftover-shared-memory" not in said


def test_what_is_another_user_s_is_not_told_to_be_removed(
    region: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=region.parent))
    (folder / "repository").symlink_to(region.parent)
    (folder / "backends").mkdir()
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(region.parent))
    owner = os.geteuid()
    for user, told in ((owner, True), (owner + 12345, False)):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        assert bool(look_for_regions(here()).findings) == told
        findings = look_for_scratch_folders(here()).findings
        assert (str(folder) in str(findings)) == told


def test_without_proc_nothing_is_a_leftover(region: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "PROC", region.parent / "no proc")
    for look in (look_for_regions, look_for_scratch_folders):
        with pytest.raises(CannotLook, match="does not show processes"):
            look(here())
