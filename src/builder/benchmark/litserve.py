"""LitServe with ultralytics' ``predict`` behind it: started, measured, ended."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from builder.benchmark.http_load import OK, HttpMeasurement, answer, form_with_file, post_forms
from builder.benchmark.same_boxes import Boxes, boxes_of
from builder.benchmark.sessions import end_session, session_cpu_seconds
from builder.errors import BenchmarkError
from builder.serving.ports import free_ports
from builder.serving.server_options import LOOPBACK

PROGRAM = "litserve_predict.py"
PATH, HEALTH_PATH, FIELD = "/predict", "/health", "image"
# For imports of torch in each of its processes, and the first run of the network.
STARTING_S = 180
LOOK_S = 0.1
HEALTH_S = 5
PATIENCE_S = 5


@dataclass(frozen=True)
class LitServeSettings:
    """How it serves.

    Attributes:
        model: the detector's file.
        workers: processes that detect.
        batch: pictures in a run of the network at most.
        batch_timeout_s: to wait for as many.
    """

    model: Path
    workers: int
    batch: int = 1
    batch_timeout_s: float = 0.0

    @property
    def words(self) -> str:
        """The settings, for a report."""
        wait = f" within {self.batch_timeout_s * 1e3:g} ms" if self.batch > 1 else ""
        workers = f"{self.workers} worker{'s' if self.workers > 1 else ''}"
        return f"{self.model.name}, {workers}, batches of {self.batch}{wait}"


@dataclass(frozen=True)
class LitServe:
    """A running one.

    Attributes:
        address: host and port.
        pid: of the first of its processes, which leads their session.
    """

    address: str
    pid: int

    def measure(
        self, images: Sequence[bytes], *, in_flight: int, seconds: float
    ) -> tuple[HttpMeasurement, float]:
        """Put a load on it; return what that came to, and the CPU milliseconds of an image.

        Those of all its processes, the few images included that open the connections.
        """
        forms = [form_with_file(FIELD, image) for image in images]
        before = session_cpu_seconds(self.pid)
        measured = post_forms(self.address, PATH, forms, in_flight=in_flight, seconds=seconds)
        cpu_s = session_cpu_seconds(self.pid) - before
        return measured, cpu_s * 1e3 / (measured.images + in_flight)

    def boxes(self, images: Sequence[bytes]) -> list[Boxes]:
        """Return what it finds in each image."""
        host, _, port = self.address.rpartition(":")
        connection = HTTPConnection(host, int(port))
        try:
            return [
                boxes_of(
                    json.loads(answer(connection, PATH, form_with_file(FIELD, image)))["boxes"]
                )
                for image in images
            ]
        finally:
            connection.close()


@contextmanager
def litserve(
    python: Path, folder: Path, settings: LitServeSettings, log_file: Path, *, square: bool
) -> Iterator[LitServe]:
    """Serve on a free port of the loopback; on the way out end all of its processes.

    Args:
        python: that has ultralytics and litserve.
        folder: ``benchmarks/peers`` of a clone.
        settings: how.
        log_file: for what it says.
        square: whether the network takes one size only.

    Raises:
        BenchmarkError: it does not start.
    """
    (port,) = free_ports(1)
    command = [
        *(str(python), str(folder / PROGRAM), "--model", str(settings.model)),
        *("--port", str(port), "--workers", str(settings.workers)),
        *("--batch", str(settings.batch), "--batch-timeout-s", str(settings.batch_timeout_s)),
        *(["--square"] if square else []),
    ]
    with log_file.open("wb") as log:
        try:
            process = subprocess.Popen(
                command,
                # It ends when this pipe does: nothing is left even if we are killed.
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A Ctrl-C reaches us alone, and we end it.
                start_new_session=True,
            )
        except OSError as error:
            raise BenchmarkError(
                f"{python} cannot run {PROGRAM} ({error.strerror}): name a Python interpreter"
            ) from error
    try:
        _wait_until_ready(process, port, settings, log_file)
        yield LitServe(f"{LOOPBACK}:{port}", process.pid)
    finally:
        end_session(process.pid, PATIENCE_S)
        process.communicate()


def _wait_until_ready(
    process: subprocess.Popen[bytes], port: int, settings: LitServeSettings, log_file: Path
) -> None:
    end = time.monotonic() + STARTING_S
    while not _is_ready(port):
        if process.poll() is not None or time.monotonic() > end:
            lines = log_file.read_text(errors="replace").strip().splitlines() or ["nothing"]
            why = "ended" if process.poll() is not None else f"not ready within {STARTING_S} s"
            raise BenchmarkError(
                f"LitServe ({settings.words}) {why}, its last words: {lines[-1]} (all of them are "
                f"in {log_file})"
            )
        time.sleep(LOOK_S)


def _is_ready(port: int) -> bool:
    connection = HTTPConnection(LOOPBACK, port, timeout=HEALTH_S)
    try:
        connection.request("GET", HEALTH_PATH)
        return connection.getresponse().status == OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
