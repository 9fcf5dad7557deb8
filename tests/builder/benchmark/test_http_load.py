from __future__ import annotations

import email
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from builder.benchmark.http_load import (
    FORM_TYPE,
    HttpMeasurement,
    answer,
    form_with_file,
    post_forms,
)
from builder.errors import BenchmarkError

IMAGES = [b"\xff\xd8one\r\n--", b" \xff\xd8two\r\n"]
FORMS = [form_with_file("image", image) for image in IMAGES]
WORK_S = 0.02


class Server(ThreadingHTTPServer):
    """Answers forms after a while and remembers how they came."""

    def __init__(self, *, refuse_after: int | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.refuse_after = refuse_after
        self.lock = threading.Lock()
        self.connections: set[tuple[str, int]] = set()
        self.files: list[tuple[str | None, object]] = []
        self.now = self.most = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        form = email.message_from_bytes(
            f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode() + body
        )
        (part,) = form.get_payload()
        with self.server.lock:
            self.server.connections.add(self.client_address)
            name = part.get_param("name", header="content-disposition")
            self.server.files.append((name, part.get_payload(decode=True)))
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
            number = len(self.server.files)
        time.sleep(WORK_S)
        with self.server.lock:
            self.server.now -= 1
        after = self.server.refuse_after
        refused = after is not None and number > after
        said = b"no room" if refused else b"[]"
        self.send_response(503 if refused else 200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(server: Server) -> Iterator[str]:
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def load(address: str, **changes: float) -> HttpMeasurement:
    return post_forms(address, "/predict", FORMS, **{"in_flight": 3, "seconds": 0.5, **changes})  # type: ignore[arg-type]


def test_connections_stay_open_and_as_many_requests_are_in_flight_as_asked() -> None:
    server = Server()
    with serving(server) as address:
        found = load(address)
    assert len(server.connections) == 3
    assert server.most == 3
    # One request on each connection before the time began.
    assert found.images == len(server.files) - 3
    assert found.p50_ms >= WORK_S * 1e3
    # Three at a time cannot be answered faster than that.
    assert 0 < found.images_per_s <= 3 / WORK_S
    assert found.client_cpu_ms > 0


def test_a_form_holds_the_image_as_it_is_and_images_go_by_turns() -> None:
    server = Server()
    with serving(server) as address:
        load(address, in_flight=1)
    assert server.files[:4] == [("image", image) for image in (*IMAGES, *IMAGES)]


def test_a_refusal_ends_the_load_with_what_the_server_said() -> None:
    with (
        serving(Server(refuse_after=10)) as address,
        pytest.raises(BenchmarkError, match=r"/predict answered 503 \(no room\)"),
    ):
        load(address, seconds=60)


def test_a_first_request_that_is_refused_is_told_too() -> None:
    with (
        serving(Server(refuse_after=2)) as address,
        pytest.raises(BenchmarkError, match="answered 503"),
    ):
        load(address)


def test_a_server_that_is_not_there_is_a_sentence() -> None:
    with Server() as server:
        address = f"127.0.0.1:{server.server_port}"
    sentence = rf"http://{address}/predict does not answer \(.*refused"
    with pytest.raises(BenchmarkError, match=sentence):
        load(address)


def test_a_single_answer_is_returned() -> None:
    with serving(Server()) as address:
        host, _, port = address.rpartition(":")
        connection = HTTPConnection(host, int(port))
        assert answer(connection, "/predict", FORMS[0]) == b"[]"
        connection.close()
    assert FORM_TYPE.startswith("multipart/form-data; boundary=")
