"""Certificates for a container, where its user can read them and other people cannot."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

# In the container.
TLS_FOLDER = "/run/framewire-tls"
READ_BY_ALL, ENTERED_BY_ALL = 0o644, 0o755


@dataclass(frozen=True)
class TlsFiles:
    """What a server needs for TLS; PEM files on this machine.

    Attributes:
        certificate: the server's certificate and those that lead to its authority.
        key: its private key, not encrypted.
        client_ca: the authorities that vouch for clients (mutual TLS); None lets every client in.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def serve_options(self) -> list[str]:
        """Return the options of ``framewire serve`` in the container."""
        options = [
            "--tls-certificate",
            f"{TLS_FOLDER}/certificate.pem",
            "--tls-key",
            f"{TLS_FOLDER}/key.pem",
        ]
        if self.client_ca is not None:
            options += ["--tls-client-ca", f"{TLS_FOLDER}/client_ca.pem"]
        return options

    def copy_to_mount(self) -> tuple[tempfile.TemporaryDirectory[str], Path]:
        """Copy the files into a folder to mount at :data:`TLS_FOLDER`.

        The container's user is nobody on this machine and must read the key. So the copies are open
        to all, in a folder that only we can enter; a mount does not pass through it.

        Returns:
            The temporary folder, which is ours to remove, and the folder in it to mount.
        """
        private = tempfile.TemporaryDirectory(prefix="framewire-tls-")
        folder = Path(private.name) / "mounted"
        folder.mkdir()
        folder.chmod(ENTERED_BY_ALL)
        files = {"certificate": self.certificate, "key": self.key, "client_ca": self.client_ca}
        for name, file in files.items():
            if file is not None:
                shutil.copyfile(file, folder / f"{name}.pem")
                (folder / f"{name}.pem").chmod(READ_BY_ALL)
        return private, folder
