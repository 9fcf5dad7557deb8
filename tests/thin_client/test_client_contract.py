from __future__ import annotations

from thin_client.contract import contract_fingerprint, stream_fingerprint


def test_clients_and_pipelines_of_before_still_go_together() -> None:
    """A change here ends that for all of them: what is new is optional, and stays outside."""
    assert contract_fingerprint() == "181bedfe6ea9ad7a"
    assert stream_fingerprint() == "ea47ee66b9ab7c40"
