"""Addresses and channel options; then TLS and several servers for real."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import grpc
import pytest
import trustme

from tests.certificates import make_certificates
from thin_client import Connection, InvalidConnection, RetryPolicy, ServerUnreachable

AT_ONCE = RetryPolicy(first_delay_s=0, max_delay_s=0)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("localhost:8001", "localhost:8001"),
        ("triton", "triton:8001"),
        ("10.0.0.1:9000", "10.0.0.1:9000"),
        ("[::1]:8001", "[::1]:8001"),
        ("grpc://triton:9000/", "triton:9000"),
        ("grpcs://triton", "triton:8001"),
        ("dns:///triton.svc:8001", "dns:///triton.svc:8001"),
        ("ipv4:10.0.0.1:8001,10.0.0.2:8001", "ipv4:10.0.0.1:8001,10.0.0.2:8001"),
        ("unix:/run/triton.sock", "unix:/run/triton.sock"),
    ],
)
def test_address_becomes_a_grpc_target(url, target):
    assert Connection(url).target == target


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://localhost:8000", "is an HTTP address"),
        ("10.0.0.1:8001,10.0.0.2:8001", "write ipv4:10.0.0.1:8001,10.0.0.2:8001"),
        ("local host", "is not an address"),
        ("", "is not an address"),
        ("host:port", "is not an address"),
    ],
)
def test_address_that_cannot_work_is_refused_with_what_would(url, sentence):
    with pytest.raises(InvalidConnection, match=sentence):
        Connection(url)


def test_keepalive_and_message_sizes_reach_the_channel():
    connection = Connection(
        "triton", keepalive_time_s=7, keepalive_timeout_s=2.5, keepalive_without_calls=True
    )
    options = dict(connection.channel_options())
    assert options["grpc.keepalive_time_ms"] == 7000
    assert options["grpc.keepalive_timeout_ms"] == 2500
    assert options["grpc.keepalive_permit_without_calls"] == 1
    assert options["grpc.max_send_message_length"] == -1
    assert options["grpc.max_receive_message_length"] == -1


def test_remote_names_are_balanced_and_the_loopback_is_not():
    remote = dict(Connection("dns:///triton:8001").channel_options())
    assert json.loads(remote["grpc.service_config"]) == {
        "loadBalancingConfig": [{"round_robin": {}}]
    }
    assert "grpc.service_config" not in dict(Connection("localhost").channel_options())


def test_several_addresses_of_the_loopback_are_balanced():
    several = dict(Connection("ipv4:127.0.0.1:8001,127.0.0.1:8011").channel_options())
    assert "round_robin" in several["grpc.service_config"]


def test_a_proxy_is_not_asked_for_servers_on_the_loopback(start_triton, make_detector, monkeypatch):
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    # Nobody listens on port 1.
    monkeypatch.setenv("grpc_proxy", "http://127.0.0.1:1")
    addresses = ",".join(start_triton().url for _ in range(2))
    assert make_detector(f"ipv4:{addresses}").detect(b"ok 7").width == 107


def test_no_proxy_is_asked_for_the_loopback():
    assert dict(Connection("localhost").channel_options())["grpc.enable_http_proxy"] == 0
    assert "grpc.enable_http_proxy" not in dict(Connection("triton").channel_options())


def test_tls_files_without_tls_are_refused(tmp_path):
    pem = tmp_path / "ca.pem"
    pem.write_text("")
    with pytest.raises(InvalidConnection, match="would be ignored without TLS"):
        Connection("triton", root_certificates=pem)
    assert Connection("grpcs://triton", root_certificates=pem).secure


def test_private_key_needs_its_certificate_chain(tmp_path):
    key = tmp_path / "key.pem"
    key.write_text("")
    with pytest.raises(InvalidConnection, match="belong together"):
        Connection("triton", ssl=True, private_key=key)


def test_missing_tls_file_is_named(tmp_path):
    with pytest.raises(InvalidConnection, match=r"root certificates .*absent\.pem: No such file"):
        Connection("triton", ssl=True, root_certificates=tmp_path / "absent.pem")


def test_headers_go_with_every_call_and_do_not_show(start_triton, make_detector):
    server = start_triton()
    connection = Connection(server.url, headers={"authorization": "Bearer secret"})
    assert "secret" not in repr(connection)
    make_detector(connection).detect(b"ok 7")
    assert server.fake.metadata["ModelConfig"]["authorization"] == "Bearer secret"
    assert server.fake.metadata["ModelInfer"]["authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": "a"}, {"grpc-timeout": "1"}, {"a b": "c"}, {"a-bin": "b"}, {"a": "b\n"}],
)
def test_headers_that_grpc_cannot_send_are_refused(headers):
    with pytest.raises(InvalidConnection, match="header"):
        Connection("triton", headers=headers)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def server_credentials(folder: Path, mutual: bool) -> grpc.ServerCredentials:
    pair = ((folder / "server.key").read_bytes(), (folder / "server.pem").read_bytes())
    root = (folder / "ca.pem").read_bytes() if mutual else None
    return grpc.ssl_server_credentials([pair], root, require_client_auth=mutual)


def test_tls_with_our_own_root_certificate(start_triton, make_detector, certificates):
    server = start_triton(server_credentials(certificates, mutual=False))
    connection = Connection(server.url, ssl=True, root_certificates=certificates / "ca.pem")
    assert make_detector(connection).detect(b"ok 7").width == 107


def test_mutual_tls(start_triton, make_detector, certificates):
    server = start_triton(server_credentials(certificates, mutual=True))
    connection = Connection(
        server.url,
        ssl=True,
        root_certificates=certificates / "ca.pem",
        private_key=certificates / "client.key",
        certificate_chain=certificates / "client.pem",
    )
    assert make_detector(connection).detect(b"ok 7").width == 107


def test_client_without_a_certificate_fails_mutual_tls(start_triton, make_detector, certificates):
    server = start_triton(server_credentials(certificates, mutual=True))
    connection = Connection(server.url, ssl=True, root_certificates=certificates / "ca.pem")
    with pytest.raises(ServerUnreachable, match=r"wants TLS .* or a client certificate .* expired"):
        make_detector(connection, retry=AT_ONCE).detect(b"ok 7")


def test_unknown_certificate_is_said(start_triton, make_detector, certificates):
    server = start_triton(server_credentials(certificates, mutual=False))
    with pytest.raises(ServerUnreachable, match="not from an authority of the root certificates"):
        make_detector(Connection(server.url, ssl=True), retry=AT_ONCE).detect(b"ok 7")


@pytest.mark.parametrize(
    ("hosts", "days_ago", "words"),
    [(("127.0.0.1",), 1, "has expired"), (("elsewhere.example",), -1, "is for another host")],
)
def test_what_is_wrong_with_a_certificate_is_said(
    start_triton, make_detector, tmp_path, hosts, days_ago, words
):
    day, now = datetime.timedelta(days=1), datetime.datetime.now(datetime.timezone.utc)
    authority = trustme.CA()
    issued = authority.issue_cert(*hosts, not_before=now - 9 * day, not_after=now - days_ago * day)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    pair = (issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes())
    server = start_triton(grpc.ssl_server_credentials([pair]))
    connection = Connection(server.url, ssl=True, root_certificates=tmp_path / "ca.pem")
    with pytest.raises(ServerUnreachable, match=f"the server's certificate {words}"):
        make_detector(connection, retry=AT_ONCE).detect(b"ok 7")


def test_tls_to_a_server_without_it_is_said(triton, make_detector):
    with pytest.raises(ServerUnreachable, match="TLS was asked for"):
        make_detector(Connection(triton.url, ssl=True), retry=AT_ONCE).detect(b"ok 7")


def test_requests_go_round_robin_over_several_servers(start_triton, make_detector):
    servers = [start_triton(), start_triton()]
    addresses = ",".join(server.url for server in servers)
    patient = RetryPolicy(attempts=1000, first_delay_s=0.01, max_delay_s=0.01)
    detector = make_detector(f"ipv4:{addresses}", retry=patient)
    # The second connection may come up a little later than the first.
    while not all(server.fake.calls["ModelInfer"] for server in servers):
        detector.detect(b"ok 1")
    before = [server.fake.calls["ModelInfer"] for server in servers]
    for _ in range(10):
        detector.detect(b"ok 1")
    after = [server.fake.calls["ModelInfer"] for server in servers]
    assert [b - a for a, b in zip(before, after, strict=True)] == [5, 5]


def test_a_dead_server_among_several_is_passed_over(start_triton, make_detector):
    dead, alive = start_triton(), start_triton()
    dead.stop()
    detector = make_detector(f"ipv4:{dead.url},{alive.url}")
    assert [detector.detect(b"ok %d" % n).width for n in range(6)] == [100 + n for n in range(6)]
