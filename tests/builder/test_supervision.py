"""What the supervisor decides, without a server: limits, and what it tells."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from builder.errors import ServerDiedError, ServerNotReadyError, SettingsError
from builder.serving.ports import free_ports
from builder.serving.readiness import check_supervised
from builder.serving.supervision import health_endpoint as health_endpoint_module
from builder.serving.supervision.healing_limit import (
    HELD_S,
    LONGEST_PAUSE_S,
    WINDOW_S,
    HealingLimit,
)
from builder.serving.supervision.health_endpoint import MOST_AT_ONCE, health_endpoint
from builder.serving.supervision.readiness_board import ReadinessBoard


def test_what_holds_is_mended_at_once_and_what_does_not_ever_later() -> None:
    limit = HealingLimit(100)
    assert limit.next_pause_s(0.0, 0.0 - HELD_S, "") == 0
    pauses = [limit.next_pause_s(float(now), None, "") for now in range(1, 6)]
    assert pauses[0] == 0
    assert pauses[1:] == sorted(pauses[1:])
    assert 0 < pauses[1] < pauses[-1]
    assert limit.next_pause_s(100.0, 100.0 - HELD_S, "") == 0
    later = [limit.next_pause_s(float(now), None, "") for now in range(200, 220)]
    assert later[:5] == pauses
    assert later[-1] == LONGEST_PAUSE_S


def test_healings_are_counted_within_ten_minutes() -> None:
    limit = HealingLimit(2)
    limit.next_pause_s(0.0, None, "first")
    limit.next_pause_s(1.0, None, "second")
    with pytest.raises(ServerDiedError, match="third, and Triton was started again 2 times"):
        limit.next_pause_s(2.0, None, "third")
    assert limit.next_pause_s(WINDOW_S + 1.5, None, "later") >= 0


def test_no_healing_at_all_is_refused() -> None:
    with pytest.raises(SettingsError, match="--no-supervise"):
        HealingLimit(0)


@pytest.fixture
def board() -> ReadinessBoard:
    return ReadinessBoard(["a", "b"])


@pytest.fixture
def port(board: ReadinessBoard) -> Iterator[int]:
    number = free_ports(1)[0]
    with health_endpoint("127.0.0.1", number, board):
        yield number


def ask(port: int, path: str, method: str = "GET") -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with closing(connection):
        connection.request(method, path)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else {}


def test_probes_are_told_what_is_ready(port: int, board: ReadinessBoard) -> None:
    assert ask(port, "/livez") == (200, {"live": True})
    starting = {"a": False, "b": False}
    why = "Triton is starting"
    assert ask(port, "/readyz") == (503, {"ready": False, "pipelines": starting, "why": why})
    board.tell({"a": None, "b": "b_bls is not loaded"})
    told = {"ready": False, "pipelines": {"a": True, "b": False}, "why": "b: b_bls is not loaded"}
    assert ask(port, "/readyz") == (503, told)
    assert ask(port, "/readyz/a") == (200, {"ready": True, "pipelines": {"a": True}})
    assert ask(port, "/readyz/b")[0] == 503
    assert ask(port, "/readyz/c")[0] == 404
    told = {"ready": True, "pipelines": {"a": True, "b": False}}
    assert ask(port, "/readyz?exclude=b&exclude=nobody") == (200, told)
    assert ask(port, "/readyz?exclude=a")[0] == 503
    assert ask(port, "/readyz", "HEAD") == (503, {})
    assert ask(port, "/elsewhere")[0] == 404
    board.tell({"a": None, "b": None})
    assert ask(port, "/readyz") == (200, {"ready": True, "pipelines": {"a": True, "b": True}})
    board.tell_all("Triton is stopping")
    assert ask(port, "/readyz/a")[0] == 503
    assert ask(port, "/readyz?exclude=a&exclude=b")[0] == 503


def test_who_connects_and_says_nothing_keeps_no_probe_away(port: int) -> None:
    with ExitStack() as stack:
        for _ in range(MOST_AT_ONCE + 8):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        for _ in range(MOST_AT_ONCE):
            assert ask(port, "/livez")[0] == 200


@pytest.mark.parametrize(("patience_s", "others"), [(600.0, MOST_AT_ONCE), (0.2, 0)])
def test_who_connects_and_says_nothing_is_hung_up_on(
    monkeypatch: pytest.MonkeyPatch, port: int, patience_s: float, others: int
) -> None:
    """When others come, or by itself."""
    monkeypatch.setattr(health_endpoint_module, "PATIENCE_S", patience_s)
    monkeypatch.setattr(health_endpoint_module._Handler, "timeout", 600)
    with ExitStack() as stack:
        silent = stack.enter_context(socket.create_connection(("127.0.0.1", port), 60))
        for _ in range(others):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        assert silent.recv(1) == b""


class Stranger(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *_: object) -> None:
        pass


def test_somebody_else_on_the_health_port_is_told() -> None:
    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(ServerNotReadyError, match="no answer from a supervisor"):
            check_supervised((), "127.0.0.1", server.server_port)
        thread.join()
