"""Five hundred connections that send nothing, send half a request, or never read."""

from __future__ import annotations

import signal
import socket
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from tritonclient.grpc import service_pb2

from tests.drill.load import SQUARES, Load, percentile
from tests.drill.memory import MemoryWatch
from tests.drill.outcome import Outcome
from tests.drill.repositories import NAME, tiny_repository
from tests.drill.scale import Scale
from tests.drill.servers import Server, seconds_until, served

CONNECTIONS = 500
BEFORE_LONG_S, BEFORE_SHORT_S = 10.0, 2.0
DURING_LONG_S, DURING_SHORT_S = 60.0, 5.0
SETTLED_S = 3.0
SLOWER_AT_MOST = 2.0
# What a p99 of a few milliseconds may vary by on a shared machine.
JITTER_S = 0.05
RECOVERED_S = 5.0
# What docs/serving.md asks of whoever sends SIGTERM.
STOPPED_S = 75.0
# Of every connection that never reads: few, since many requests are a matter of the queues.
REQUESTS_UNREAD = 2

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS = 1, 4
INITIAL_WINDOW_SIZE = 4


def run(scale: Scale, folder: Path) -> Outcome:
    """Open the connections beside a client that behaves, which must not notice."""
    outcome = Outcome(f"{CONNECTIONS} connections: nothing, half requests, never reading")
    before_s = scale.of(BEFORE_LONG_S, BEFORE_SHORT_S)
    during_s = scale.of(DURING_LONG_S, DURING_SHORT_S)
    with served(tiny_repository(folder)) as server:
        files_before = _open_files(server)
        with Load(server.url, threads=2, pause_s=0.005) as quiet:
            time.sleep(before_s)
        with ExitStack() as stack:
            watch = stack.enter_context(MemoryWatch(lambda: [server]))
            load = stack.enter_context(Load(server.url, threads=2, pause_s=0.005))
            for number in range(CONNECTIONS):
                port, send = _manners(server)[number % 6]
                connection = stack.enter_context(socket.socket())
                connection.settimeout(10)
                connection.connect(("127.0.0.1", port))
                # One that the server hangs up on has had its answer.
                with suppress(BrokenPipeError, ConnectionResetError):
                    send(connection)
            # Their calls are answered first, like anybody's; then there is only that nobody reads.
            time.sleep(SETTLED_S)
            before = len(load.tally.latencies_s)
            time.sleep(during_s)
            outcome.expect(_answers_http(server), "HTTP did not answer meanwhile")
            load_ended = load.tally.answered
        outcome.peak_mb = watch.peak_mb
        quiet_s = percentile(quiet.tally.latencies_s, 99)
        busy_s = percentile(load.tally.latencies_s[before:], 99)
        load.tally.into(outcome)
        closed_s = seconds_until(
            lambda: _open_files(server) <= files_before + 8, scale.limit(RECOVERED_S)
        )
        left = max(_open_files(server) - files_before, 0)
        if scale.short:
            # It would drain for a minute; a second signal ends it at once.
            server.process.send_signal(signal.SIGTERM)
            time.sleep(1)
        else:
            _stop(server, outcome)
    outcome.expect(load_ended > 0, "the other client got no answer")
    limit_s = scale.limit(SLOWER_AT_MOST * quiet_s + JITTER_S)
    outcome.expect(
        busy_s <= limit_s,
        f"the others' p99 went from {quiet_s * 1e3:.0f} to {busy_s * 1e3:.0f} ms",
    )
    if closed_s is not None:
        outcome.healed(closed_s)
    outcome.expect(
        left < CONNECTIONS / 5, f"the server kept {left} connections of clients long gone"
    )
    outcome.notes.append(
        f"p99 of the others {quiet_s * 1e3:.1f} ms without the {CONNECTIONS} connections, "
        f"{busy_s * 1e3:.1f} ms beside them; {left} more files are open in Triton afterwards"
    )
    return outcome


def _stop(server: Server, outcome: Outcome) -> None:
    begun = time.monotonic()
    code = server.terminate()
    stopped_s = time.monotonic() - begun
    outcome.expect(code == 0, f"stopped afterwards, it ended with {code}")
    outcome.expect(
        stopped_s < STOPPED_S,
        f"it took {stopped_s:.0f} s to stop afterwards, {STOPPED_S:.0f} allowed",
    )
    outcome.notes.append(f"it took {stopped_s:.0f} s to stop afterwards")


def _manners(server: Server) -> tuple[tuple[int, Callable[[socket.socket], None]], ...]:
    """The ways to misbehave, and the port for each."""
    grpc, http = server.grpc_port, server.http_port
    return (
        (grpc, lambda _: None),
        (http, lambda _: None),
        (grpc, lambda connection: connection.sendall(PREFACE[:10])),
        (grpc, lambda connection: connection.sendall(_half_a_call())),
        (http, lambda connection: connection.sendall(_half_a_post())),
        (grpc, lambda connection: connection.sendall(_calls_nobody_reads())),
    )


def _half_a_post() -> bytes:
    return (
        f"POST /v2/models/{NAME}/infer HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Length: 100000\r\n\r\n{"
    ).encode()


def _half_a_call() -> bytes:
    """The headers of a call and half of its message."""
    message = _message()
    return (
        PREFACE + _frame(SETTINGS, 0, 0, b"") + _call_headers(1)
        + _frame(DATA, 0, 1, message[: len(message) // 2])
    )  # fmt: skip


def _calls_nobody_reads() -> bytes:
    """Whole calls, after settings that leave the server no room for a byte of an answer."""
    parts = [PREFACE, _frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 0))]
    for number in range(REQUESTS_UNREAD):
        stream = 2 * number + 1
        parts += [_call_headers(stream), _frame(DATA, END_STREAM, stream, _message())]
    return b"".join(parts)


def _message() -> bytes:
    """A request with gRPC's five bytes before it: not compressed, and its length."""
    request = service_pb2.ModelInferRequest(model_name=NAME)
    tensor = request.inputs.add(name="image", datatype="BYTES")
    tensor.shape.extend([1, 1])
    request.raw_input_contents.append(struct.pack("<I", len(SQUARES[0])) + SQUARES[0])
    body = request.SerializeToString()
    return struct.pack(">BI", 0, len(body)) + body


def _call_headers(stream: int) -> bytes:
    """The headers of ``ModelInfer``, as literals that HPACK never indexes (RFC 7541, 6.2.3)."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/inference.GRPCInferenceService/ModelInfer",
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    block = b"".join(
        bytes([0x10, len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields.items()
    )
    return _frame(HEADERS, END_HEADERS, stream, block)


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    """A frame of HTTP/2 (RFC 9113, 4.1)."""
    return struct.pack(">I", len(body))[1:] + struct.pack(">BBI", kind, flags, stream) + body


def _answers_http(server: Server) -> bool:
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=5) as connection:
        connection.settimeout(5)
        connection.sendall(b"GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return connection.recv(64).startswith(b"HTTP/1.1 200")


def _open_files(server: Server) -> int:
    pid = server.triton_pid()
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
