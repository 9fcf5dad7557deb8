"""Options of access and tracing that cannot work are refused before anything is started."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from builder.errors import SettingsError, TritonNotFoundError
from builder.serving.access import Access
from builder.serving.installed import find_installed_triton
from builder.serving.tracing import Tracing
from tests.certificates import make_certificates
from tests.serving import framewire


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def test_a_certificate_without_its_key_is_refused(certificates: Path) -> None:
    with pytest.raises(SettingsError, match="--tls-certificate and --tls-key belong together"):
        Access(certificates / "server.pem")


def test_client_authorities_without_tls_are_refused(certificates: Path) -> None:
    with pytest.raises(SettingsError, match="--tls-client-ca would be ignored without TLS"):
        Access(client_ca=certificates / "ca.pem")


def test_the_key_of_another_certificate_is_refused(certificates: Path) -> None:
    with pytest.raises(SettingsError, match=r"KEY_VALUES_MISMATCH.*its own private key"):
        Access(certificates / "server.pem", certificates / "client.key")


def test_what_is_no_certificate_is_refused(certificates: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    with pytest.raises(SettingsError, match="cannot be used"):
        Access(empty, certificates / "server.key")
    with pytest.raises(SettingsError, match=r"--tls-client-ca .* cannot be used"):
        Access(certificates / "server.pem", certificates / "server.key", empty)


def test_a_file_that_is_not_there_is_named_with_its_option(certificates: Path) -> None:
    with pytest.raises(SettingsError, match=r"--tls-key .*absent\.key cannot be read"):
        Access(certificates / "server.pem", certificates / "absent.key")


def test_an_encrypted_key_is_refused_without_asking_for_its_word(
    certificates: Path, tmp_path: Path
) -> None:
    encrypted = tmp_path / "encrypted.key"
    subprocess.run(
        ["openssl", "pkey", "-aes256", "-passout", "pass:word", "-out", str(encrypted)],
        input=(certificates / "server.key").read_bytes(),
        check=True,
        capture_output=True,
    )
    with pytest.raises(SettingsError, match="not encrypted"):
        Access(certificates / "server.pem", encrypted)


@pytest.mark.parametrize(
    "key", ["", "short", "with space and enough length", "a=b" * 10, "a,b" * 10]
)
def test_an_admin_key_that_is_short_or_splits_an_option_is_refused(key: str) -> None:
    with pytest.raises(SettingsError, match="FRAMEWIRE_ADMIN_KEY must be"):
        Access(admin_key=key)


@pytest.mark.parametrize("url", ["localhost:4318", "ftp://a/b", "http://", "http://a,b/c"])
def test_a_collector_that_cannot_be_one_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="--trace-to must be"):
        Tracing(url)


def test_a_trace_rate_below_one_is_refused() -> None:
    with pytest.raises(SettingsError, match="--trace-rate must be at least 1, got 0"):
        Tracing("http://localhost:4318/v1/traces", 0)


def test_a_trace_rate_without_a_collector_is_refused() -> None:
    asked = subprocess.run(
        framewire("serve", "--trace-rate", "5"), capture_output=True, text=True, check=False
    )
    assert asked.returncode == 1
    assert "--trace-rate does nothing without --trace-to" in asked.stderr


def test_a_triton_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TritonNotFoundError, match="is no program"):
        find_installed_triton(tmp_path / "tritonserver")


def test_a_triton_without_the_python_backend_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "tritonserver"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    with pytest.raises(TritonNotFoundError, match="has no Python backend"):
        find_installed_triton(program)
