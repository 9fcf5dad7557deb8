"""A load generator for HTTP: requests one after the other on connections that stay open."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException

from builder.errors import BenchmarkError

ANSWER_S = 60
BOUNDARY = "framewire-bench-boundary"
FORM_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
OK = 200
# Of a refusal, for the sentence.
SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class HttpMeasurement:
    """What a load came to.

    Attributes:
        images: answered.
        images_per_s: likewise, in a second.
        p50_ms: latency of a request, median.
        client_cpu_ms: user and system time that the load generator itself took for a request.
    """

    images: int
    images_per_s: float
    p50_ms: float
    client_cpu_ms: float


def form_with_file(name: str, content: bytes) -> bytes:
    """Return the body of a form (RFC 7578) with one file, of the type :data:`FORM_TYPE`."""
    head = (
        f"--{BOUNDARY}\r\n"
        f'Content-Disposition: form-data; name="{name}"; filename="{name}.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    return head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


def answer(connection: HTTPConnection, path: str, body: bytes) -> bytes:
    """Send one form and return the answer's body.

    Raises:
        BenchmarkError: the server refused it, or is gone.
    """
    where = f"http://{connection.host}:{connection.port}{path}"
    try:
        connection.request("POST", path, body, {"Content-Type": FORM_TYPE})
        response = connection.getresponse()
        content = response.read()
    except (OSError, HTTPException) as error:
        reason = str(error) or type(error).__name__
        raise BenchmarkError(f"{where} does not answer ({reason}): see the server's log") from error
    if response.status != OK:
        said = content.decode(errors="replace")[:SHOWN_CHARACTERS]
        raise BenchmarkError(f"{where} answered {response.status} ({said}): see the server's log")
    return content


def post_forms(
    address: str, path: str, bodies: Sequence[bytes], *, in_flight: int, seconds: float
) -> HttpMeasurement:
    """Send forms by turns, each thread the next one as soon as its last one is answered.

    Every connection is opened and used once before the time begins.

    Args:
        address: host and port.
        path: of the service.
        bodies: to send.
        in_flight: requests at a time, each on a connection of its own.
        seconds: to go on beginning requests.

    Raises:
        BenchmarkError: a request was refused or not answered.
    """
    host, _, port = address.rpartition(":")
    numbers = itertools.count()
    latencies_ms: list[float] = []
    failures: list[BenchmarkError] = []
    # In the middle of the barrier nobody runs: there the clocks are read.
    start: list[tuple[float, float]] = []
    ready = threading.Barrier(
        in_flight, lambda: start.append((time.perf_counter(), time.process_time()))
    )

    def send_forms() -> None:
        connection = HTTPConnection(host, int(port), timeout=ANSWER_S)
        try:
            answer(connection, path, bodies[next(numbers) % len(bodies)])
            ready.wait(2 * ANSWER_S)
            end = start[0][0] + seconds
            while not failures and (begun := time.perf_counter()) < end:
                answer(connection, path, bodies[next(numbers) % len(bodies)])
                latencies_ms.append((time.perf_counter() - begun) * 1e3)
        except BenchmarkError as error:
            failures.append(error)
            ready.abort()
        except threading.BrokenBarrierError:
            # Another thread says why.
            pass
        finally:
            connection.close()

    threads = [threading.Thread(target=send_forms, daemon=True) for _ in range(in_flight)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    if not latencies_ms:
        raise BenchmarkError(f"{address} was not asked for long enough: --window-ms is too short")
    took_s, cpu_s = time.perf_counter() - start[0][0], time.process_time() - start[0][1]
    count = len(latencies_ms)
    return HttpMeasurement(
        images=count,
        images_per_s=count / took_s,
        p50_ms=statistics.median(latencies_ms),
        client_cpu_ms=cpu_s * 1e3 / count,
    )
