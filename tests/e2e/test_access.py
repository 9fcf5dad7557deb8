"""Who gets in: TLS, mutual TLS, and endpoints that want the admin key, on the real server."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from tests import images
from tests.certificates import make_certificates
from tests.serving import Serving, framewire, serving
from tests.tiny_detector import coloured_square
from thin_client import AccessDenied, Connection, Detector, RetryPolicy, ServerUnreachable

KEY = "a-key-that-only-the-tests-know"
HEADER = "triton-grpc-protocol-framewire-admin"
AT_ONCE = RetryPolicy(attempts=1)
SQUARE = images.encoded(coloured_square("red"))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def secured(tiny_repository: Path, certificates: Path) -> Iterator[Serving]:
    """Mutual TLS, and the admin key."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FRAMEWIRE_ADMIN_KEY", KEY)
        with serving(
            tiny_repository,
            *("--tls-certificate", str(certificates / "server.pem")),
            *("--tls-key", str(certificates / "server.key")),
            *("--tls-client-ca", str(certificates / "ca.pem")),
            "--restrict",
        ) as server:
            yield server


def connection(server: Serving, certificates: Path, **headers: str) -> Connection:
    return Connection(
        f"grpcs://{server.url}",
        root_certificates=certificates / "ca.pem",
        private_key=certificates / "client.key",
        certificate_chain=certificates / "client.pem",
        headers=headers,
    )


def test_a_client_with_a_certificate_gets_boxes(secured: Serving, certificates: Path) -> None:
    with Detector(connection(secured, certificates), "tiny") as detector:
        assert len(detector.detect(SQUARE)) == 1


def test_a_client_without_one_does_not_get_in(secured: Serving, certificates: Path) -> None:
    alone = Connection(f"grpcs://{secured.url}", root_certificates=certificates / "ca.pem")
    with (
        Detector(alone, "tiny", retry=AT_ONCE) as detector,
        pytest.raises(ServerUnreachable),
    ):
        detector.detect(SQUARE)


def test_a_client_of_another_authority_does_not_get_in(
    secured: Serving, certificates: Path, tmp_path: Path
) -> None:
    others = make_certificates(tmp_path)
    stranger = Connection(
        f"grpcs://{secured.url}",
        root_certificates=certificates / "ca.pem",
        private_key=others / "client.key",
        certificate_chain=others / "client.pem",
    )
    with (
        Detector(stranger, "tiny", retry=AT_ONCE) as detector,
        pytest.raises(ServerUnreachable),
    ):
        detector.detect(SQUARE)


def test_a_client_without_tls_does_not_get_in(secured: Serving) -> None:
    with (
        Detector(secured.url, "tiny", retry=AT_ONCE) as detector,
        pytest.raises(ServerUnreachable),
    ):
        detector.detect(SQUARE)


def test_beside_tls_nothing_is_inferred_in_the_clear(secured: Serving) -> None:
    assert ask_http(secured, "GET", "/v2/models/tiny/ready")[0] == 200
    status, text = ask_http(secured, "POST", "/v2/models/tiny/infer", b"{}")
    assert status != 200
    assert "restricted" in text


def test_statistics_are_for_those_with_the_key(secured: Serving, certificates: Path) -> None:
    with (
        Detector(connection(secured, certificates), "tiny") as detector,
        pytest.raises(AccessDenied, match="admin key"),
    ):
        detector.report()
    with Detector(connection(secured, certificates, **{HEADER: KEY}), "tiny") as detector:
        assert detector.report().server_version


def test_a_wrong_key_opens_nothing(secured: Serving, certificates: Path) -> None:
    wrong = connection(secured, certificates, **{HEADER: KEY[:-1]})
    with Detector(wrong, retry=AT_ONCE) as detector, pytest.raises(AccessDenied):
        detector.connect()


def test_framewire_load_wants_the_key_and_the_certificates(
    secured: Serving,
    certificates: Path,
    tiny_repository: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = framewire(
        *("load", "tiny", "--repository", str(tiny_repository)),
        *("--url", f"grpcs://{secured.url}"),
        *("--root-certificates", str(certificates / "ca.pem")),
        *("--private-key", str(certificates / "client.key")),
        *("--certificate-chain", str(certificates / "client.pem")),
    )
    monkeypatch.delenv("FRAMEWIRE_ADMIN_KEY", raising=False)
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "FRAMEWIRE_ADMIN_KEY" in refused.stderr
    assert "Traceback" not in refused.stderr
    monkeypatch.setenv("FRAMEWIRE_ADMIN_KEY", KEY)
    loaded = subprocess.run(command, capture_output=True, text=True, check=False)
    assert loaded.stdout.startswith(f"grpcs://{secured.url} serves version 1 of tiny"), loaded


ENDPOINTS: dict[str, Callable[[InferenceServerClient], object]] = {
    "load": lambda client: client.load_model("tiny"),
    "unload": lambda client: client.unload_model("tiny"),
    "index": lambda client: client.get_model_repository_index(),
    "register shared memory": lambda client: client.register_system_shared_memory("a", "/a", 8),
    "shared memory": lambda client: client.get_system_shared_memory_status(),
    "trace": lambda client: client.update_trace_settings(settings={"trace_rate": "1"}),
    "log": lambda client: client.update_log_settings({"log_verbose_level": 1}),
    "statistics": lambda client: client.get_inference_statistics(),
}


@pytest.fixture(scope="module")
def restricted(tiny_repository: Path) -> Iterator[Serving]:
    """Without TLS, and with a key that nobody knows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("FRAMEWIRE_ADMIN_KEY", raising=False)
        with serving(tiny_repository, "--restrict") as server:
            yield server


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_restricted_endpoint_answers_nobody_without_the_key(
    restricted: Serving, endpoint: str
) -> None:
    with (
        InferenceServerClient(restricted.url) as client,
        pytest.raises(InferenceServerException, match="restricted"),
    ):
        ENDPOINTS[endpoint](client)


def test_a_restricted_server_still_infers(restricted: Serving) -> None:
    with Detector(restricted.url, "tiny") as detector:
        assert len(detector.detect(SQUARE)) == 1


def test_a_client_that_looks_for_the_only_pipeline_is_told_to_name_it(restricted: Serving) -> None:
    with Detector(restricted.url) as detector, pytest.raises(AccessDenied, match="--model"):
        detector.connect()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/repository/index"),
        ("POST", "/v2/repository/models/tiny/unload"),
        ("GET", "/v2/systemsharedmemory/status"),
        ("GET", "/v2/trace/setting"),
        ("GET", "/v2/logging"),
        ("GET", "/v2/models/stats"),
    ],
)
def test_http_is_as_restricted_as_grpc(restricted: Serving, method: str, path: str) -> None:
    status, text = ask_http(restricted, method, path)
    assert status != 200
    assert "restricted" in text


def ask_http(server: Serving, method: str, path: str, body: bytes = b"") -> tuple[int, str]:
    asked = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=10)
    try:
        asked.request(method, path, body=body)
        answer = asked.getresponse()
        text = answer.read().decode()
        return answer.status, json.loads(text)["error"] if text.startswith('{"error"') else text
    finally:
        asked.close()
