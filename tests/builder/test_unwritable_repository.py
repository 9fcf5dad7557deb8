"""Folders that cannot be written, disks that are full, names that cannot be models: for real."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builder.cli import main
from tests.tiny_detector import save_tiny_detector, tiny_detector

NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can reach, with a detector in it and a repository."""
    folder = Path(tempfile.mkdtemp(prefix="framewire-test-"))
    try:
        folder.chmod(0o755)
        save_tiny_detector(folder / "tiny.onnx")
        assert build(folder / "tiny.onnx", folder / "r") == 0
        yield folder
    finally:
        shutil.rmtree(folder)


def build(model: Path, repository: Path, name: str = "tiny") -> int:
    return main(["build", str(model), "--name", name, "--repository", str(repository)])


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@contextmanager
def without_privileges() -> Iterator[None]:
    """As a user to whom permissions apply."""
    privileged = os.geteuid() == 0
    if privileged:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if privileged:
            os.seteuid(0)


@contextmanager
def read_only(*folders: Path) -> Iterator[None]:
    modes = {folder: folder.stat().st_mode for folder in folders}
    for folder in folders:
        folder.chmod(0o555)
    try:
        yield
    finally:
        for folder, mode in modes.items():
            folder.chmod(mode)


def one_sentence(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.startswith("framewire: ")
    assert error.count("\n") == 1
    return error


def test_a_repository_that_cannot_be_written_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(folder)
    subfolders = [path for path in (folder / "r").rglob("*") if path.is_dir()]
    with read_only(folder, folder / "r", *subfolders), without_privileges():
        for arguments in (
            ["build", str(folder / "tiny.onnx"), "--name", "tiny"],
            ["build", str(folder / "tiny.onnx"), "--name", "other"],
            ["build", str(folder / "tiny.onnx"), "--name", "tiny", "--replace"],
            ["prune", "tiny"],
            ["rollback", "tiny", "--to", "1"],
        ):
            assert main([*arguments, "--repository", str(folder / "r")]) == 1, arguments
            error = one_sentence(capsys)
            assert f"cannot write the model repository {folder / 'r'} (Permission denied)" in error
            assert "check that the folder is writable" in error
    assert contents(folder) == before


def test_a_repository_that_cannot_be_written_can_be_listed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    with read_only(folder, folder / "r"), without_privileges():
        assert main(["list", "--repository", str(folder / "r")]) == 0
    assert "yolov8" in capsys.readouterr().out


def test_a_repository_that_cannot_be_made_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with read_only(folder), without_privileges():
        assert build(folder / "tiny.onnx", folder / "new" / "repository") == 1
    assert "Permission denied" in one_sentence(capsys)


@contextmanager
def small_disk(size: int) -> Iterator[Path | None]:
    """A file system with so much room, or None where this process may not make one."""
    with tempfile.TemporaryDirectory(prefix="framewire-disk-") as mount_point:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", mount_point]
        mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
        try:
            yield Path(mount_point) if mounted else None
        finally:
            if mounted:
                subprocess.run(["umount", mount_point], check=True)


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """Let files grow to this size only; what the process would write beyond it fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("name", ["tiny", "other"])
def test_a_full_disk_is_told_and_leaves_what_was_there(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    # Its network has more room than two megabytes in its boxes alone.
    large = save_tiny_detector(folder / "large.onnx", tiny_detector(2048, 2048))
    with small_disk(3 * 2**20) as disk:
        repository = (disk or folder) / "full" / "r"
        assert build(folder / "tiny.onnx", repository) == 0
        before = contents(repository.parent)
        capsys.readouterr()
        if disk is not None:
            (disk / "ballast").write_bytes(bytes(2 * 2**20))
            assert build(large, repository, name) == 1
            reason = "No space left on device"
        else:
            with small_files(2**16):
                assert build(large, repository, name) == 1
            reason = "File too large"
        error = one_sentence(capsys)
        assert f"cannot write the model repository {repository} ({reason})" in error
        assert "its disk has room" in error
        assert contents(repository.parent) == before


def test_a_file_that_cannot_grow_is_told_and_leaves_what_was_there(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = save_tiny_detector(folder / "large.onnx", tiny_detector(2048, 2048))
    before = contents(folder)
    with small_files(2**16):
        assert build(large, folder / "r") == 1
    assert "(File too large)" in one_sentence(capsys)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("two words", "must start with a letter"),
        ("../elsewhere", "must start with a letter"),
        ("1st", "must start with a letter"),
        ("", "must start with a letter"),
        ("n" * 65, "at most 64"),
        ("street_network", "ends like one of a pipeline's own models"),
    ],
)
def test_a_name_that_cannot_be_a_model_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, complaint: str
) -> None:
    before = contents(folder)
    assert build(folder / "tiny.onnx", folder / "r", name) == 1
    error = one_sentence(capsys)
    assert complaint in error
    assert "choose another with --name" in error
    assert contents(folder) == before
