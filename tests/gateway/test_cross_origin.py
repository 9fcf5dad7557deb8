"""Pages of other origins: what their browsers ask before, and what they may read of answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from http.client import HTTPConnection
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from builder.errors import SettingsError
from builder.gateway.settings import GatewaySettings
from tests.gateway.chromium import Page, chromium, find_chromium
from tests.gateway.running import Gateway, gateway
from tests.gateway.standing_still import counted
from tests.serving import Serving
from tests.tiny_detector import LABELS

SHOP = "https://shop.example"
TOKEN = "a-token.that~named+pages-know"  # noqa: S105
METHODS = {"/detect": "POST", "/pipeline": "GET, HEAD"}


@pytest.fixture(scope="module")
def named(triton: Serving) -> Iterator[Gateway]:
    """One that wants a token, and lets in the pages of a shop."""
    with gateway(
        triton.url, "--origin", SHOP, environment={"FRAMEWIRE_GATEWAY_TOKEN": TOKEN}
    ) as running:
        yield running


def ask(
    running: Gateway, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, Mapping[str, str]]:
    """Status and headers of an answer; names in lower case."""
    with closing(HTTPConnection("127.0.0.1", running.port, timeout=60)) as connection:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}


def asked_before(running: Gateway, path: str, origin: str) -> tuple[int, Mapping[str, str]]:
    """What a browser asks before a page's request with a token."""
    return ask(
        running,
        "OPTIONS",
        path,
        Origin=origin,
        Access_Control_Request_Method=METHODS[path].partition(",")[0],
        Access_Control_Request_Headers="authorization,content-type",
    )


def varies(headers: Mapping[str, str]) -> set[str]:
    return {each.strip().lower() for each in headers.get("vary", "").split(",")}


@pytest.mark.parametrize("path", METHODS)
def test_a_named_page_may_ask_with_its_token(named: Gateway, path: str) -> None:
    status, headers = asked_before(named, path, SHOP)
    assert status == 204
    assert headers["access-control-allow-origin"] == SHOP
    assert headers["access-control-allow-methods"] == METHODS[path]
    allowed = headers["access-control-allow-headers"].lower()
    assert allowed == "authorization, content-type"
    assert int(headers["access-control-max-age"]) > 0
    assert "access-control-allow-credentials" not in headers
    assert varies(headers) == {
        "origin",
        "access-control-request-method",
        "access-control-request-headers",
    }


@pytest.mark.parametrize("path", METHODS)
@pytest.mark.parametrize(
    "origin", ["https://elsewhere.example", f"{SHOP}.elsewhere.example", f"{SHOP}:8443", "null"]
)
def test_others_may_not(named: Gateway, path: str, origin: str) -> None:
    before = counted_refusals(named)
    status, headers = asked_before(named, path, origin)
    assert status == 403
    assert not any(name.startswith("access-control-") for name in headers)
    assert "origin" in varies(headers)
    status, headers = ask(
        named, METHODS[path].partition(",")[0], path, Origin=origin, Authorization=f"Bearer {TOKEN}"
    )
    assert status == 403
    assert not any(name.startswith("access-control-") for name in headers)
    assert counted_refusals(named) == before + 2


def counted_refusals(running: Gateway) -> float:
    _, text = running.get("/metrics", Authorization=f"Bearer {TOKEN}")
    lines = [line for line in text.splitlines() if 'refused_total{reason="origin"}' in line]
    return float(lines[0].split()[-1]) if lines else 0.0


@pytest.mark.parametrize(
    ("method", "path", "body", "token", "status"),
    [
        ("GET", "/pipeline", None, TOKEN, 200),
        ("HEAD", "/pipeline", None, TOKEN, 200),
        ("POST", "/detect", b"no image", TOKEN, 422),
        ("POST", "/detect?size=7", b"no image", TOKEN, 400),
        ("POST", "/detect", b"no image", "wrong", 401),
        ("GET", "/pipeline", None, "wrong", 401),
        ("GET", "/detect", None, TOKEN, 404),
    ],
)
def test_a_named_page_may_read_every_answer(
    named: Gateway, method: str, path: str, body: bytes | None, token: str, status: int
) -> None:
    found, headers = ask(named, method, path, body, Origin=SHOP, Authorization=f"Bearer {token}")
    assert found == status
    assert headers["access-control-allow-origin"] == SHOP
    assert headers["access-control-expose-headers"] == "Retry-After"
    assert "origin" in varies(headers)


def test_who_is_no_page_gets_no_such_headers(named: Gateway, squares: dict[str, bytes]) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    for origin in ({}, {"Origin": named.url}):
        status, headers = ask(named, "POST", "/detect", squares["red"], **bearer, **origin)
        assert status == 200
        assert not any(name.startswith("access-control-") for name in headers)
        # A cache between must not give this answer to a page, nor a page's to others.
        assert "origin" in varies(headers)
    status, headers = ask(named, "OPTIONS", "/detect")
    assert (status, headers["allow"]) == (204, "POST, OPTIONS")


def test_what_operators_ask_is_not_for_pages(named: Gateway) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/"):
        assert ask(named, "OPTIONS", path, Origin=SHOP)[0] == 405
        _, headers = ask(named, "GET", path, Origin=SHOP, Authorization=f"Bearer {TOKEN}")
        assert not any(name.startswith("access-control-") for name in headers)


@pytest.mark.parametrize(
    "origin",
    [
        "https://shop.example",
        "http://shop.example:8080",
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
        "https://xn--bcher-kva.example",
    ],
)
def test_an_origin_is_taken_as_browsers_send_it(origin: str) -> None:
    assert GatewaySettings(origins=(origin,)).origins == (origin,)


@pytest.mark.parametrize(
    ("origin", "sent"),
    [
        ("https://Shop.example", "https://shop.example"),
        ("https://shop.example/", "https://shop.example"),
        ("https://shop.example:443", "https://shop.example"),
        ("http://shop.example:80", "http://shop.example"),
        ("https://b\u00fccher.example", "https://xn--bcher-kva.example"),
        ("https://shop.example:", "https://shop.example"),
        ("shop.example", None),
        ("ftp://shop.example", None),
        ("https://", None),
        ("https://shop.example:seven", None),
        ("null", None),
        ("*", None),
    ],
)
def test_an_origin_that_no_browser_sends_is_refused(origin: str, sent: str | None) -> None:
    with pytest.raises(SettingsError, match="--origin must be") as caught:
        GatewaySettings(origins=(origin,))
    assert str(caught.value).endswith(f"; browsers send {sent}" if sent else repr(origin))


# In a real browser.

# What a page of a shop would do; `at` is the gateway's address.
CALL = """
async (at, path, options) => {
    try {
        const answer = await fetch(at + path, options);
        const body = await answer.json();
        return { status: answer.status, body, retry: answer.headers.get("Retry-After") };
    } catch (error) {
        return { failed: String(error) };
    }
}
"""


@contextmanager
def shop(folder: Path) -> Iterator[str]:
    """An origin with an empty page and a picture."""
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def visited(
    tmp_path_factory: pytest.TempPathFactory, squares: dict[str, bytes]
) -> Iterator[tuple[str, Page]]:
    """A shop's origin, and a browser that shows its page."""
    find_chromium()
    folder = tmp_path_factory.mktemp("shop")
    (folder / "index.html").write_text("<!doctype html><title>shop</title>")
    (folder / "green.jpg").write_bytes(squares["green"])
    with shop(folder) as origin, chromium(folder / "profile") as page:
        page.open(f"{origin}/")
        yield origin, page


def call(page: Page, running: Gateway, path: str, options: str = "{}") -> dict[str, Any]:
    return dict(page.evaluate(f"({CALL})({running.url!r}, {path!r}, {options})"))


def posting(*headers: str) -> str:
    picture = "await (await fetch('green.jpg')).blob()"
    return f"{{method: 'POST', body: {picture}, headers: {{{', '.join(headers)}}}}}"


def post(page: Page, running: Gateway, *headers: str) -> dict[str, Any]:
    asked = f"(async () => ({CALL})({running.url!r}, '/detect', {posting(*headers)}))()"
    return dict(page.evaluate(asked))


def test_a_browser_lets_a_named_page_detect(visited: tuple[str, Page], triton: Serving) -> None:
    origin, page = visited
    with gateway(
        triton.url, "--origin", origin, environment={"FRAMEWIRE_GATEWAY_TOKEN": TOKEN}
    ) as running:
        bearer = f"Authorization: 'Bearer {TOKEN}'"
        found = post(page, running, bearer)
        assert found["status"] == 200, found
        assert [each["label"] for each in found["body"]["detections"]] == ["green"]
        described = call(page, running, "/pipeline", f"{{headers: {{{bearer}}}}}")
        assert described["body"]["labels"] == list(LABELS)
        # What is wrong is told, and not only that something is.
        assert post(page, running)["body"]["status"] == "token"
        assert call(page, running, "/pipeline")["status"] == 401


def test_a_browser_tells_a_named_page_when_to_come_again(
    visited: tuple[str, Page], triton: Serving
) -> None:
    origin, page = visited
    limits = ("--client-connections", "1", "--in-flight", "1", "--client-frames-per-second", "0.01")
    with gateway(triton.url, "--origin", origin, *limits) as running:
        assert post(page, running)["status"] == 200
        again = post(page, running)
        assert (again["status"], again["retry"]) == (429, "1")


def test_a_browser_gives_nothing_to_a_page_that_was_not_named(
    visited: tuple[str, Page], open_gateway: Gateway
) -> None:
    _, page = visited
    before = counted(open_gateway, "refused_total", reason="origin")
    for found in (
        call(page, open_gateway, "/pipeline"),
        post(page, open_gateway),
        post(page, open_gateway, f"Authorization: 'Bearer {TOKEN}'"),
    ):
        assert "Failed to fetch" in found["failed"]
    assert counted(open_gateway, "refused_total", reason="origin") == before + 3
