"""builder.testing where it cannot work: no testcontainers, no Docker, no pipelines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from builder.errors import RepositoryError
from builder.serving.loading import not_served_line
from builder.serving.server_options import ServerOptions
from builder.testing import FramewireContainer, TlsFiles
from builder.testing.failures import not_served

BLOCKED = """
import sys
sys.modules["testcontainers"] = None
try:
    import builder.testing
except ImportError as error:
    print(type(error).__name__, error)
"""
UNANSWERED = """
from builder.errors import ContainersUnavailableError
from builder.testing import FramewireContainer
try:
    FramewireContainer()
except ContainersUnavailableError as error:
    print(error)
"""


def test_without_testcontainers_the_import_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("ContainersUnavailableError builder.testing cannot start")
    assert "pip install 'framewire[testing]'" in done.stdout
    assert done.stdout.count("\n") == 1


def test_without_a_docker_daemon_one_sentence_says_so() -> None:
    # In a process of its own: docker-py leaves a socket open that it could not connect.
    done = subprocess.run(
        [sys.executable, "-c", UNANSWERED],
        env={**os.environ, "DOCKER_HOST": "unix:///nowhere/docker.sock"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("no Docker daemon answers (")
    assert "DOCKER_HOST" in done.stdout
    assert done.stdout.count("\n") == 1


def test_a_folder_without_pipelines_is_refused_before_docker_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    tmp_path.chmod(0o755)
    with pytest.raises(RepositoryError, match="holds no pipelines"):
        FramewireContainer(repository=tmp_path)


def test_copies_of_a_private_key_are_where_others_cannot_go(tmp_path: Path) -> None:
    for name in ("certificate", "key"):
        (tmp_path / name).write_text(name)
        (tmp_path / name).chmod(0o600)
    private, mounted = TlsFiles(tmp_path / "certificate", tmp_path / "key").copy_to_mount()
    with private as folder:
        assert Path(folder).stat().st_mode & 0o077 == 0
        # Through the mount the container's user comes from elsewhere, and can.
        assert (mounted / "key.pem").stat().st_mode & 0o004
        assert (mounted / "key.pem").read_text() == "key"
    assert not mounted.exists()


def test_a_pipeline_that_its_server_goes_without_is_found_in_the_log(tmp_path: Path) -> None:
    options = ServerOptions(tmp_path)
    (tmp_path / "street" / "1").mkdir(parents=True)
    (tmp_path / "street" / "1" / "pipeline.json").touch()
    line = not_served_line(options, "street", "model street_bls did not load: why")
    log = f"framewire: warning: something\nframewire: {line}\nready: codes\n"
    assert not_served(log, ["street", "codes"]) == line
    assert not_served(log, ["codes"]) is None
