"""Certificates for tests of TLS, made when they are needed."""

from __future__ import annotations

from pathlib import Path

import trustme


def make_certificates(folder: Path) -> Path:
    """Write ca.pem, and key and certificate of ``server`` and ``client``, signed by it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name in ("server", "client"):
        certificate = authority.issue_cert("127.0.0.1", "localhost", common_name=name)
        certificate.private_key_pem.write_to_path(str(folder / f"{name}.key"))
        for pem in certificate.cert_chain_pems:
            pem.write_to_path(str(folder / f"{name}.pem"), append=True)
    return folder
