"""TLS with certificates made here, and endpoints that want the admin key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from builder.testing import FramewireContainer, TlsFiles
from tests import images
from tests.certificates import make_certificates
from tests.containers.asking import ask
from tests.containers.conftest import Image, StartContainer, container_of
from tests.tiny_detector import coloured_square
from thin_client import RetryPolicy, ServerUnreachable

pytestmark = pytest.mark.containers

RED = images.encoded(coloured_square("red"), ".png")
ONCE = RetryPolicy(attempts=1)
RESTRICTED_CALLS: dict[str, Callable[[InferenceServerClient, dict[str, str]], Any]] = {
    "load a model": lambda client, key: client.load_model("tiny", headers=key),
    "unload a model": lambda client, key: client.unload_model("missing", headers=key),
    "list models": lambda client, key: client.get_model_repository_index(headers=key),
    "share memory": lambda client, key: client.get_system_shared_memory_status(headers=key),
    "stop sharing": lambda client, key: client.unregister_system_shared_memory(headers=key),
    "read traces": lambda client, key: client.get_trace_settings(headers=key),
    "trace": lambda client, key: client.update_trace_settings("tiny", {}, headers=key),
    "read the log's settings": lambda client, key: client.get_log_settings(headers=key),
    "set the log": lambda client, key: client.update_log_settings({}, headers=key),
    "read statistics": lambda client, key: client.get_inference_statistics(headers=key),
}
RESTRICTED_PATHS = {
    "POST": ("/v2/repository/index", "/v2/repository/models/tiny/load"),
    "GET": (
        "/v2/systemsharedmemory/status",
        "/v2/trace/setting",
        "/v2/logging",
        "/v2/models/tiny/stats",
    ),
}


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates; nobody but their owner reads the keys, as is usual."""
    folder = make_certificates(tmp_path_factory.mktemp("ours"))
    for key in folder.glob("*.key"):
        key.chmod(0o600)
    return folder


@pytest.fixture(scope="session")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those of an authority that neither side knows."""
    return make_certificates(tmp_path_factory.mktemp("others"))


@pytest.fixture(scope="module")
def open_to_all(image: Image, tiny_repository: Path) -> Iterator[FramewireContainer]:
    with container_of(image, repository=tiny_repository) as container:
        yield container


def server_tls(folder: Path, client_ca: Path | None = None) -> TlsFiles:
    return TlsFiles(folder / "server.pem", folder / "server.key", client_ca)


def client_tls(folder: Path) -> dict[str, Path]:
    return {
        "certificate_chain": folder / "client.pem",
        "private_key": folder / "client.key",
    }


def labels(container: FramewireContainer, **options: Any) -> list[str | None]:
    with container.detector(**options) as detector:
        return [each.label for each in detector.detect(RED)]


def test_with_tls_only_a_client_that_knows_the_authority_is_answered(
    start: StartContainer, tiny_repository: Path, ours: Path, others: Path
) -> None:
    container = start(repository=tiny_repository, tls=server_tls(ours))
    assert container.url.startswith("grpcs://")
    assert labels(container, root_certificates=ours / "ca.pem")[0] == "red"
    for unknown in ({}, {"root_certificates": others / "ca.pem"}):
        with pytest.raises(ServerUnreachable, match="is not from an authority of the root"):
            labels(container, retry=ONCE, **unknown)
    address = container.url.removeprefix("grpcs://")
    with InferenceServerClient(address) as plain, pytest.raises(InferenceServerException):
        plain.is_server_live(client_timeout=5)
    # HTTP has no TLS: who is healthy may be seen there, and images do not go in the clear.
    assert status(container, "GET", "/v2/models/tiny/ready") == 200
    assert status(container, "POST", "/v2/models/tiny/infer") == 403


def test_with_mutual_tls_only_a_client_with_our_certificate_is_answered(
    start: StartContainer, tiny_repository: Path, ours: Path, others: Path
) -> None:
    container = start(repository=tiny_repository, tls=server_tls(ours, client_ca=ours / "ca.pem"))
    assert labels(container, root_certificates=ours / "ca.pem", **client_tls(ours))[0] == "red"
    for stranger in ({}, client_tls(others)):
        with pytest.raises(ServerUnreachable):
            labels(container, root_certificates=ours / "ca.pem", retry=ONCE, **stranger)


def status(
    container: FramewireContainer, method: str, path: str, headers: dict[str, str] | None = None
) -> int:
    return ask(container.http_url + path, method, headers)[0]


@pytest.mark.parametrize("call", RESTRICTED_CALLS)
def test_a_restricted_call_wants_the_admin_key(open_to_all: FramewireContainer, call: str) -> None:
    with InferenceServerClient(open_to_all.url) as client:
        for key in ({}, dict.fromkeys(open_to_all.admin_metadata, "wrong")):
            with pytest.raises(InferenceServerException, match="This protocol is restricted"):
                RESTRICTED_CALLS[call](client, key)
        RESTRICTED_CALLS[call](client, open_to_all.admin_metadata)


@pytest.mark.parametrize(
    ("method", "path"),
    [(method, path) for method in RESTRICTED_PATHS for path in RESTRICTED_PATHS[method]],
)
def test_a_restricted_path_wants_the_admin_key(
    open_to_all: FramewireContainer, method: str, path: str
) -> None:
    assert status(open_to_all, method, path) == 403
    wrong = dict.fromkeys(open_to_all.admin_headers, "wrong")
    assert status(open_to_all, method, path, wrong) == 403
    assert status(open_to_all, method, path, open_to_all.admin_headers) == 200


def test_what_edge_devices_need_wants_no_key(open_to_all: FramewireContainer) -> None:
    with InferenceServerClient(open_to_all.url) as client:
        assert client.is_server_ready()
        assert client.is_model_ready("tiny")
        assert client.get_model_config("tiny").config.name == "tiny"
        assert client.get_model_metadata("tiny").name == "tiny"
        tensor = InferInput("image", [1, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[RED]], dtype=object))
        assert client.infer("tiny", [tensor]).as_numpy("num_dets")[0, 0] > 0
    assert status(open_to_all, "GET", "/v2/models/tiny/ready") == 200


def test_containers_have_different_keys_unless_told(image: Image, tiny_repository: Path) -> None:
    keys = [container_of(image, repository=tiny_repository).admin_key for _ in range(2)]
    assert len(set(keys)) == 2
    chosen = container_of(image, repository=tiny_repository, admin_key="k" * 32)
    assert chosen.admin_headers == {"framewire-admin": "k" * 32}
