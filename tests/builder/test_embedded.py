"""Where the embedded Triton cannot run, a sentence says why and names the way out."""

from __future__ import annotations

from importlib import metadata

import pytest

from builder.errors import EmbeddedUnavailableError
from builder.serving import embedded
from builder.serving.embedded import find_embedded_triton, missing_libpython


def test_this_machine_can_run_it() -> None:
    triton = find_embedded_triton()
    assert triton.binary.is_file()
    assert not missing_libpython()


@pytest.mark.parametrize(("system", "machine"), [("linux", "aarch64"), ("darwin", "x86_64")])
def test_another_platform_is_sent_to_docker(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str
) -> None:
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    with pytest.raises(EmbeddedUnavailableError, match=rf"on {machine}: run it in a container"):
        find_embedded_triton()


def test_a_python_without_a_stub_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "PYTHON_VERSION", "3.99")
    with pytest.raises(EmbeddedUnavailableError, match=r"no stub for Python 3\.99"):
        find_embedded_triton()


def test_a_missing_libpython_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    # The wheel has a stub for 3.8, whose library no supported distribution installs.
    monkeypatch.setattr(embedded, "PYTHON_VERSION", "3.8")
    assert missing_libpython()
    with pytest.raises(
        EmbeddedUnavailableError, match=r"apt-get install libpython3\.8`"
    ) as refusal:
        find_embedded_triton()
    assert "docker build" in str(refusal.value)


def test_a_missing_wheel_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_distribution(_: str) -> None:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "distribution", no_distribution)
    with pytest.raises(EmbeddedUnavailableError, match=r"pip install -e '\.\[embedded\]'"):
        find_embedded_triton()


def test_the_environment_leads_the_stub_to_this_interpreter() -> None:
    environment = find_embedded_triton().environment(
        {"PATH": "/usr/bin", "LD_LIBRARY_PATH": "/mine", "PYTHONPATH": "/x", "PYTHONHOME": "/y"}
    )
    assert environment["PATH"].endswith(":/usr/bin")
    assert environment["LD_LIBRARY_PATH"].endswith(":/mine")
    assert "PYTHONPATH" not in environment
    assert "PYTHONHOME" not in environment
