"""Traces of requests, received by a collector of our own over OTLP."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput

from tests import images
from tests.serving import Serving, serving
from tests.tiny_detector import coloured_square

SQUARE = images.encoded(coloured_square("red"), ".png")
# The steps of each variant, by the span that they belong to.
STEPS = {
    "tiny": {"tiny_preprocess", "tiny_network", "tiny_postprocess"},
    "tiny_bls": {"tiny_network"},
}
Span = dict[str, Any]


class Collector:
    """Takes traces as a collector of OpenTelemetry does (OTLP/HTTP), and keeps their spans."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.paths: set[str] = set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.take(self.path, self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/traces"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def take(self, path: str, body: bytes) -> None:
        self.paths.add(path)
        for resource in json.loads(body)["resourceSpans"]:
            self.services |= {
                each["value"]["stringValue"]
                for each in resource["resource"]["attributes"]
                if each["key"] == "service.name"
            }
            for scope in resource["scopeSpans"]:
                self.spans += scope["spans"]

    def trace(self, trace_id: str) -> dict[str, Span]:
        """The spans of a trace by their ids."""
        return {span["spanId"]: span for span in self.spans if span["traceId"] == trace_id}

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def traced(collector: Collector, tiny_repository: Path) -> Iterator[Serving]:
    with serving(
        tiny_repository, "--trace-to", collector.url, "--trace-rate", "1", "--no-supervise"
    ) as server:
        yield server


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ask(server: Serving, model: str, headers: dict[str, str] | None = None) -> None:
    image = InferInput("image", [1, 1], "BYTES")
    image.set_data_from_numpy(np.array([[SQUARE]], dtype=object))
    with InferenceServerClient(server.url) as client:
        client.infer(model, [image], headers=headers, client_timeout=60)


def ask_within_a_trace(server: Serving, model: str) -> tuple[str, str]:
    """Ask as a client that traces itself; return the ids of its trace and of its span."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    ask(server, model, {"traceparent": f"00-{trace_id}-{span_id}-01"})
    return trace_id, span_id


@pytest.mark.parametrize("model", STEPS)
def test_a_request_and_its_steps_are_spans_of_the_clients_trace(
    collector: Collector, traced: Serving, model: str
) -> None:
    # Triton 24.10 overlooks the header of one request in a hundred.
    sent = dict(ask_within_a_trace(traced, model) for _ in range(5))
    expected = {model, *STEPS[model]}

    def complete() -> list[str]:
        return [
            trace_id
            for trace_id in sent
            if expected <= {span["name"] for span in collector.trace(trace_id).values()}
        ]

    wait_until(lambda: bool(complete()))
    trace_id = complete()[0]
    spans = collector.trace(trace_id)
    (root,) = [span for span in spans.values() if span["parentSpanId"] == sent[trace_id]]
    named = {span["name"]: span for span in spans.values()}

    def ancestors(span: Span) -> set[str]:
        parent = spans.get(span.get("parentSpanId", ""))
        return {parent["name"], *ancestors(parent)} if parent else set()

    assert root["name"] == "InferRequest"
    for step in STEPS[model]:
        assert model in ancestors(named[step])
        assert int(named[step]["startTimeUnixNano"]) < int(named[step]["endTimeUnixNano"])
    events = {event["name"] for event in named[model]["events"]}
    assert {"REQUEST_START", "REQUEST_END"} <= events
    assert collector.services == {"framewire"}
    assert collector.paths == {"/v1/traces"}


@pytest.mark.parametrize("model", STEPS)
def test_a_request_of_a_client_that_does_not_trace_gets_a_trace_of_its_own(
    collector: Collector, traced: Serving, model: str
) -> None:
    known = {span["traceId"] for span in collector.spans}
    ask(traced, model)

    def new() -> set[str]:
        return {span["traceId"] for span in collector.spans if span["name"] == model} - known

    wait_until(lambda: len(new()) == 1)


def test_of_many_requests_one_in_so_many_is_traced(
    collector: Collector, tiny_repository: Path
) -> None:
    known = {span["traceId"] for span in collector.spans}
    with serving(
        tiny_repository, "--trace-to", collector.url, "--trace-rate", "10", "--no-supervise"
    ) as server:
        for _ in range(40):
            ask(server, "tiny")
        # What was left is sent when the server ends.
        server.stop()
    traces = {span["traceId"] for span in collector.spans if span["name"] == "tiny"} - known
    assert len(traces) == 4
