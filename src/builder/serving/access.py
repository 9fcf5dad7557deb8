"""Who may call a server: TLS on its gRPC endpoint, and endpoints that want the admin key.

Triton's names for all of it are in its documentation under "Securing Deployment Considerations".
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path

from builder.errors import SettingsError

ADMIN_KEY_VARIABLE = "FRAMEWIRE_ADMIN_KEY"
# The header in which each protocol carries the key; gRPC's prefix is Triton's.
HTTP_ADMIN_HEADER = "framewire-admin"
GRPC_ADMIN_HEADER = f"triton-grpc-protocol-{HTTP_ADMIN_HEADER}"
# Long enough not to be guessed, and nothing that an HTTP header or Triton's option would split.
ADMIN_KEY = re.compile(r"[A-Za-z0-9._~+/-]{16,256}")

# What can change a server, read the memory it shares, or tell a stranger what others do.
RESTRICTED = ("model-repository", "shared-memory", "trace", "logging", "statistics")


@dataclass(frozen=True)
class Access:
    """Who may call what.

    Attributes:
        certificate: PEM file with the server's certificate and those that lead to its authority;
            None serves without TLS.
        key: PEM file with its private key, not encrypted.
        client_ca: PEM file with the authorities that vouch for clients (mutual TLS); None lets
            every client in.
        admin_key: that :data:`RESTRICTED` endpoints want; None leaves them open.

    Raises:
        SettingsError: on creation, when the files or the key cannot be used.
    """

    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    admin_key: str | None = None

    def __post_init__(self) -> None:
        """Check what Triton would take and fail with, or not notice."""
        if self.admin_key is not None and not ADMIN_KEY.fullmatch(self.admin_key):
            raise SettingsError(
                f"the admin key in {ADMIN_KEY_VARIABLE} must be 16 to 256 letters, digits or "
                f"'._~+/-', got {len(self.admin_key)} characters: make one with `openssl rand -hex "
                "32`"
            )
        if self.certificate is None or self.key is None:
            if self.certificate or self.key:
                raise SettingsError(
                    "--tls-certificate and --tls-key belong together: give both or neither"
                )
            if self.client_ca:
                raise SettingsError(
                    "--tls-client-ca would be ignored without TLS: give --tls-certificate and "
                    "--tls-key too"
                )
            return
        _check_tls(self.certificate, self.key, self.client_ca)

    @property
    def secure(self) -> bool:
        """Whether gRPC is served with TLS."""
        return self.certificate is not None

    @property
    def http_headers(self) -> dict[str, str]:
        """Headers that open every HTTP endpoint."""
        return {HTTP_ADMIN_HEADER: self.admin_key} if self.admin_key else {}

    def triton_arguments(self) -> list[str]:
        """Return the options of ``tritonserver``."""
        arguments = []
        if self.certificate is not None:
            arguments += [
                "--grpc-use-ssl=true",
                f"--grpc-server-cert={self.certificate.absolute()}",
                f"--grpc-server-key={_absolute(self.key)}",
            ]
        if self.client_ca is not None:
            arguments += [
                "--grpc-use-ssl-mutual=true",
                f"--grpc-root-cert={_absolute(self.client_ca)}",
            ]
        if self.admin_key is not None:
            secret = f"{HTTP_ADMIN_HEADER}={self.admin_key}"
            # Triton's HTTP has no TLS: beside a gRPC that has, images must not go in the clear.
            http = (*RESTRICTED, "inference") if self.secure else RESTRICTED
            arguments += [
                f"--grpc-restricted-protocol={','.join(RESTRICTED)}:{secret}",
                f"--http-restricted-api={','.join(http)}:{secret}",
            ]
        return arguments


def _absolute(file: Path | None) -> str:
    return str(file.absolute()) if file else ""


def _check_tls(certificate: Path, key: Path, client_ca: Path | None) -> None:
    for option, file in (
        ("--tls-certificate", certificate),
        ("--tls-key", key),
        ("--tls-client-ca", client_ca),
    ):
        try:
            if file is not None:
                file.read_bytes()
        except OSError as error:
            raise SettingsError(
                f"{option} {file} cannot be read ({error.strerror}): give a PEM file that this "
                "user may read"
            ) from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # An empty password: an encrypted key is an error, and nobody is asked for the word.
        context.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error) or "not PEM"
        raise SettingsError(
            f"--tls-certificate {certificate} and --tls-key {key} cannot be used ({reason}): "
            "give a certificate in PEM and its own private key, not encrypted"
        ) from error
    try:
        if client_ca is not None:
            context.load_verify_locations(client_ca)
    except ssl.SSLError as error:
        raise SettingsError(
            f"--tls-client-ca {client_ca} cannot be used ({error.reason or 'not PEM'}): give the "
            "certificates of the authorities that sign clients', in PEM"
        ) from error
