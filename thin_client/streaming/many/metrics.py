"""How each source is, in Prometheus' text format (version 0.0.4), over HTTP on this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from thin_client.closing import Closing
from thin_client.errors import OutputUnwritable
from thin_client.streaming.many.feed import Feed
from thin_client.streaming.state import State

__all__ = ["MetricsEndpoint", "metrics_text"]

PREFIX = "framewire_client"
_COUNTERS = {
    "frames": "frames that were answered",
    "looked_at": "of them, those that the network looked at",
    "sent": "packets or JPEGs that left",
    "dropped": "frames that were late, damaged or lost",
    "thinned_out": "frames that were left out on purpose",
    "bytes": "bytes of packets or JPEGs that left",
}


def metrics_text(feeds: list[Feed]) -> str:
    """Return the metrics of sources."""
    return "\n".join(_lines(feeds)) + "\n"


def _lines(feeds: list[Feed]) -> Iterator[str]:
    totals = {feed.source.name: feed.totals for feed in feeds}
    for counter, what in _COUNTERS.items():
        yield from _head(f"{counter}_total", "counter", what)
        for name, total in totals.items():
            yield _line(f"{counter}_total", getattr(total, counter), source=name)
    yield from _head("state", "gauge", "1 for the state that a source is in, else 0")
    for feed in feeds:
        now, _ = feed.state
        for state in State:
            if state is not State.REMOVED:
                yield _line("state", int(state is now), source=feed.source.name, state=state.value)
    yield from _head(
        "latency_seconds", "gauge", "from a frame to its boxes, over the last five seconds"
    )
    for feed in feeds:
        recent = feed.recent()
        if recent is None or recent.latency_p50_ms is None or recent.latency_p95_ms is None:
            continue
        for quantile, ms in (("0.5", recent.latency_p50_ms), ("0.95", recent.latency_p95_ms)):
            name = feed.source.name
            yield _line("latency_seconds", round(ms / 1e3, 6), source=name, quantile=quantile)


def _head(name: str, kind: str, what: str) -> Iterator[str]:
    yield f"# HELP {PREFIX}_{name} {what}"
    yield f"# TYPE {PREFIX}_{name} {kind}"


def _line(name: str, value: float, **labels: str) -> str:
    shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{PREFIX}_{name}{{{shown}}} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


class MetricsEndpoint(Closing):
    """Answers ``GET /metrics`` on loopback.

    Args:
        port: to listen on; 0 for any.
        text: gives the answer.

    Attributes:
        port: where it listens.

    Raises:
        OutputUnwritable: the port cannot be had.
    """

    def __init__(self, port: int, text: Callable[[], str]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.partition("?")[0] != "/metrics":
                    self.send_error(404)
                    return
                body = text().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing of requests."""

        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        except OSError as error:
            raise OutputUnwritable(
                f"cannot serve metrics on 127.0.0.1:{port}: {error.strerror}"
            ) from None
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
