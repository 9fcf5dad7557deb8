"""Whom a gateway lets in."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from tests.certificates import make_certificates
from tests.gateway.clients import answer, labels, open_frames
from tests.gateway.running import Gateway, gateway
from tests.serving import Serving, framewire, serving

TOKEN = "a-token.that_only-the~tests+know"  # noqa: S105


@pytest.fixture(scope="module")
def guarded(triton: Serving) -> Iterator[Gateway]:
    """One that wants a token."""
    with gateway(triton.url, environment={"FRAMEWIRE_GATEWAY_TOKEN": TOKEN}) as running:
        yield running


def refused(running: Gateway, **options: object) -> int:
    with pytest.raises(InvalidStatus) as refusal, open_frames(running, **options):
        pass
    assert json.loads(refusal.value.response.body or b"")["error"]
    return refusal.value.response.status_code


def test_without_its_token_nothing_is_detected(guarded: Gateway, squares: dict[str, bytes]) -> None:
    for headers in ({}, {"Authorization": f"Bearer {TOKEN[:-1]}"}, {"Authorization": TOKEN}):
        assert refused(guarded, additional_headers=headers) == 401
        assert guarded.post(squares["red"], **headers)[0] == 401
        assert guarded.get("/pipeline", **headers)[0] == 401
        assert guarded.get("/metrics", **headers)[0] == 401
    assert refused(guarded, subprotocols=["framewire", "framewire.token.wrong"]) == 401
    assert refused(guarded, subprotocols=["framewire", TOKEN]) == 401
    assert guarded.post(squares["red"], f"?token={TOKEN}")[0] == 401


def test_the_page_and_what_supervises_need_no_token(guarded: Gateway) -> None:
    for path in ("/", "/main.js", "/healthz", "/readyz"):
        assert guarded.get(path)[0] == 200


def test_a_header_carries_the_token(guarded: Gateway, squares: dict[str, bytes]) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    with open_frames(guarded, additional_headers=bearer) as client:
        client.send(squares["red"])
        assert labels(answer(client)) == ["red"]
    assert guarded.post(squares["red"], **bearer)[0] == 200
    assert guarded.get("/pipeline", **bearer)[0] == 200
    assert "framewire_gateway_refused_total" in guarded.get("/metrics", **bearer)[1]


def test_a_subprotocol_carries_a_pages_token(guarded: Gateway, squares: dict[str, bytes]) -> None:
    offered = ["framewire", f"framewire.token.{TOKEN}"]
    with open_frames(guarded, subprotocols=offered) as client:
        # Of those offered the one that is no secret: browsers want one of them back.
        assert client.subprotocol == "framewire"
        client.send(squares["red"])
        assert labels(answer(client)) == ["red"]


def test_its_token_is_in_nothing_that_it_prints(guarded: Gateway) -> None:
    assert TOKEN not in guarded.ready_line + guarded.error_text()
    assert TOKEN not in Path(f"/proc/{guarded.process.pid}/cmdline").read_text()


def test_pages_of_other_origins_do_not_get_in(
    open_gateway: Gateway, squares: dict[str, bytes]
) -> None:
    neighbour = f"http://127.0.0.1:{open_gateway.port + 1}"
    for origin in ("https://elsewhere.example", neighbour, "null"):
        assert refused(open_gateway, origin=origin) == 403
        assert open_gateway.post(squares["red"], Origin=origin)[0] == 403
    with open_frames(open_gateway, origin=open_gateway.url) as client:
        client.send(squares["red"])
        assert labels(answer(client)) == ["red"]


def test_a_name_that_was_made_to_lead_here_does_not_get_in(
    open_gateway: Gateway, squares: dict[str, bytes]
) -> None:
    rebound = f"rebound.example:{open_gateway.port}"
    status, _ = open_gateway.post(squares["red"], Host=rebound, Origin=f"http://{rebound}")
    assert status == 403
    assert open_gateway.post(squares["red"], Host=rebound)[0] == 403
    assert open_gateway.post(squares["red"], Host=f"localhost:{open_gateway.port}")[0] == 200


def test_an_origin_that_was_named_gets_in(triton: Serving, squares: dict[str, bytes]) -> None:
    with gateway(triton.url, "--origin", "https://shop.example") as running:
        with open_frames(running, origin="https://shop.example") as client:
            client.send(squares["red"])
            assert labels(answer(client)) == ["red"]
        assert refused(running, origin="https://other.example") == 403


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def test_with_tls_before_and_behind_it(
    tiny_repository: Path, certificates: Path, squares: dict[str, bytes]
) -> None:
    files = {name: str(certificates / name) for name in ("ca.pem", "server.pem", "server.key")}
    own = ("--tls-certificate", files["server.pem"], "--tls-key", files["server.key"])
    with (
        serving(tiny_repository, *own, "--tls-client-ca", files["ca.pem"]) as secured,
        gateway(
            f"grpcs://{secured.url}",
            *own,
            *("--root-certificates", files["ca.pem"]),
            *("--private-key", str(certificates / "client.key")),
            *("--certificate-chain", str(certificates / "client.pem")),
        ) as running,
    ):
        assert running.scheme == "https"
        context = ssl.create_default_context(cafile=files["ca.pem"])
        with open_frames(running, ssl=context) as client:
            client.send(squares["red"])
            assert labels(answer(client)) == ["red"]
        assert running.get("/readyz", context)[0] == 200
        with pytest.raises(ssl.SSLCertVerificationError), open_frames(running):
            pass


@pytest.mark.parametrize(
    ("options", "token", "said"),
    [
        (["--port", "70000"], "", "--port"),
        (["--in-flight", "1", "--max-frames-per-second", "0"], "", "--max-frames-per-second"),
        (["--drain-seconds", "nan"], "", "--drain-seconds"),
        (["--origin", "https://shop.example/page"], "", "--origin"),
        (["--url", "http://localhost:8000"], "", "gRPC"),
        (["--header", "nonsense"], "", "--header"),
        (["--retries", "-1"], "", "--retries"),
        (["--client-timeout", "0"], "", "--client-timeout"),
        (["--tls-key", "no.key"], "", "--tls-certificate"),
        (["--address", "192.0.2.1"], "", "192.0.2.1"),
        ([], "short", "FRAMEWIRE_GATEWAY_TOKEN"),
        ([], "with a space in it, and long enough", "FRAMEWIRE_GATEWAY_TOKEN"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_a_sentence(
    options: list[str], token: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAMEWIRE_GATEWAY_TOKEN", token)
    done = subprocess.run(
        framewire("gateway", *options), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("framewire: ")
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_named(open_gateway: Gateway) -> None:
    done = subprocess.run(
        framewire("gateway", "--port", str(open_gateway.port)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert f"port {open_gateway.port}" in done.stderr
    assert "--port" in done.stderr
