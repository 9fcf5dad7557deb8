"""What the gateway counts, in Prometheus' text format (version 0.0.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Seconds; between a good network's frame and the client's default deadline.
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
PREFIX = "framewire_gateway"


@dataclass
class Metrics:
    """Counters of one gateway since its start.

    Attributes:
        connections: WebSockets that are open.
        accepted: WebSockets there have been.
        in_flight: frames under way.
        received_bytes: of frames and bodies.
        sent_bytes: of answers over WebSockets.
        looked_at: frames of video that the network saw.
        frames: answers, by endpoint and status.
        refused: requests that were turned away, by reason.
        closed: WebSockets that ended, by close code.
    """

    connections: int = 0
    accepted: int = 0
    in_flight: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    looked_at: int = 0
    frames: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    closed: Counter[int] = field(default_factory=Counter)
    _buckets: Counter[float] = field(default_factory=Counter)
    _sum_s: float = 0.0
    _count: int = 0

    def answered(self, endpoint: str, status: str, took_s: float) -> None:
        """Count an answer and how long it took."""
        self.frames[endpoint, status] += 1
        self._sum_s += took_s
        self._count += 1
        for bound in BUCKETS_S:
            if took_s <= bound:
                self._buckets[bound] += 1

    def text(self) -> str:
        """Return everything, as Prometheus reads it."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield from _single("connections", "gauge", "WebSockets that are open", self.connections)
        yield from _single("in_flight", "gauge", "frames that wait for boxes", self.in_flight)
        yield from _single("connections_total", "counter", "WebSockets there were", self.accepted)
        yield from _single(
            "received_bytes_total", "counter", "of frames that came", self.received_bytes
        )
        yield from _single(
            "sent_bytes_total", "counter", "of answers over WebSockets", self.sent_bytes
        )
        yield from _single(
            "looked_at_total", "counter", "frames of video that the network saw", self.looked_at
        )
        yield from _head("frames_total", "counter", "answers by endpoint and status")
        for (endpoint, status), count in sorted(self.frames.items()):
            labels = f'endpoint="{endpoint}",status="{status}"'
            yield f"{PREFIX}_frames_total{{{labels}}} {count}"
        yield from _head("refused_total", "counter", "requests turned away")
        for reason, count in sorted(self.refused.items()):
            yield f'{PREFIX}_refused_total{{reason="{reason}"}} {count}'
        yield from _head("closed_total", "counter", "WebSockets that ended, by close code")
        for code, count in sorted(self.closed.items()):
            yield f'{PREFIX}_closed_total{{code="{code}"}} {count}'
        yield from _head("answer_seconds", "histogram", "from a frame's arrival to its answer")
        for bound in BUCKETS_S:
            yield f'{PREFIX}_answer_seconds_bucket{{le="{bound:g}"}} {self._buckets[bound]}'
        yield f'{PREFIX}_answer_seconds_bucket{{le="+Inf"}} {self._count}'
        yield f"{PREFIX}_answer_seconds_sum {self._sum_s:.6f}"
        yield f"{PREFIX}_answer_seconds_count {self._count}"


def _head(name: str, kind: str, explained: str) -> Iterator[str]:
    yield f"# HELP {PREFIX}_{name} {explained}"
    yield f"# TYPE {PREFIX}_{name} {kind}"


def _single(name: str, kind: str, explained: str, value: int) -> Iterator[str]:
    yield from _head(name, kind, explained)
    yield f"{PREFIX}_{name} {value}"
