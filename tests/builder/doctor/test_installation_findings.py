"""Installations that lack something: copies of this one, with the very file taken away."""

from __future__ import annotations

import os
import shutil
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

import thin_client
from builder.cli import main
from builder.serving.embedded import DISTRIBUTION, PYTHON_VERSION, find_embedded_triton
from tests.builder.doctor.examining import PRIVATE_MOUNTS, command_line, doctor

STUB = f"python_backend_stubs/{PYTHON_VERSION}/triton_python_backend_stub"
LIBPYTHON = f"libpython{PYTHON_VERSION}.so.1.0"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A copy of the embedded Triton that is found before the installed one; its parts are links."""
    site = Path(str(metadata.distribution(DISTRIBUTION).locate_file(""))).resolve()
    copy = tmp_path / "site"
    server = copy / "pytriton" / "tritonserver"
    for folder in ("bin", Path(STUB).parent):
        (server / folder).mkdir(parents=True)
    for file in ("bin/tritonserver", STUB):
        shutil.copy(site / "pytriton" / "tritonserver" / file, server / file)
    (server / "backends").symlink_to(site / "pytriton" / "tritonserver" / "backends")
    (copy / "pytriton" / "__init__.py").touch()
    libraries = copy / "nvidia_pytriton.libs"
    libraries.mkdir()
    for library in (site / "nvidia_pytriton.libs").iterdir():
        (libraries / library.name).symlink_to(library)
    (distribution,) = site.glob("nvidia_pytriton-*.dist-info")
    (copy / distribution.name).symlink_to(distribution)
    return copy


def examined(wheel: Path, repository: Path):
    environment = {**os.environ, "PYTHONPATH": str(wheel)}
    return doctor("--repository", repository, environment=environment)


def test_the_copy_is_as_good_as_the_original(wheel: Path, repository: Path) -> None:
    said = examined(wheel, repository)
    assert not said.names("error")
    assert said.report["looked_at"]["Triton"].endswith("all its libraries")


def test_a_libpython_that_is_missing(wheel: Path, repository: Path) -> None:
    stub = wheel / "pytriton" / "tritonserver" / STUB
    # A Python whose library no distribution has.
    other = LIBPYTHON.replace(".so.1.0", ".so.9.9").encode()
    assert LIBPYTHON.encode() in stub.read_bytes()
    stub.write_bytes(stub.read_bytes().replace(LIBPYTHON.encode(), other))
    said = examined(wheel, repository)
    told = said.the("library-missing")
    assert told.startswith(f"error: the embedded Triton needs {other.decode()} | ")
    assert f"`apt-get install libpython{PYTHON_VERSION}`" in told
    assert said.code == 1


def test_another_library_that_is_missing(wheel: Path, repository: Path) -> None:
    (library,) = (wheel / "nvidia_pytriton.libs").glob("libb64-*")
    library.unlink()
    told = examined(wheel, repository).the("library-missing")
    assert library.name in told


def test_no_triton_at_all(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_distribution(_: str) -> None:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "distribution", no_distribution)
    monkeypatch.setitem(sys.modules, "pytriton", None)
    monkeypatch.setattr("importlib.util.find_spec", find_spec_but_pytriton)
    options = command_line("--repository", repository)[3:]
    assert main(options) == 1
    captured = capsys.readouterr()
    assert '"triton-missing"' in captured.out
    assert "pip install -e '.[embedded]'" in captured.out


def find_spec_but_pytriton(name: str):
    return None if name == "pytriton" else find_spec(name)


def test_an_installed_triton_that_is_not_there(repository: Path, tmp_path: Path) -> None:
    said = doctor("--repository", repository, "--triton", tmp_path / "tritonserver")
    assert "is no program" in said.the("triton-missing")


def test_an_installed_triton_says_its_version_in_a_file(repository: Path, tmp_path: Path) -> None:
    home = tmp_path / "opt"
    (home / "bin").mkdir(parents=True)
    shutil.copy(find_embedded_triton().binary, home / "bin" / "tritonserver")
    (home / "backends" / "python").mkdir(parents=True)
    (home / "TRITON_VERSION").write_text("2.40.0\n")
    said = doctor("--repository", repository, "--triton", home / "bin" / "tritonserver")
    assert "pipelines need 24.10 or later" in said.the("triton-too-old")


def test_a_package_that_the_served_models_import_is_missing(repository: Path) -> None:
    spec = find_spec("simplejpeg")
    assert spec is not None
    assert spec.origin is not None
    # Hidden under an empty folder, for this process only.
    hidden = f'mount -t tmpfs tmpfs {Path(spec.origin).parent} && exec "$@"'
    said = doctor("--repository", repository, before=[*PRIVATE_MOUNTS, "sh", "-c", hidden, "sh"])
    told = said.the("package-missing")
    assert told.startswith("error: the served models import simplejpeg, which")
    assert told.endswith("`pip install simplejpeg`")


def test_a_client_of_another_version(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(thin_client, "__version__", "0.0.7")
    assert main(command_line("--repository", repository)[3:]) == 1
    assert "framewire-client beside it 0.0.7" in capsys.readouterr().out
