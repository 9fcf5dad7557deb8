"""What a load generator sends, and what it measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """One kind of traffic for one model.

    Attributes:
        model: Triton's name of it.
        batch: images in a request.
        concurrency: requests kept in flight; None where ``rate`` says what is sent.
        rate: requests begun in a second, whatever is in flight; None where ``concurrency`` says it.
        shared_memory: whether images and answers go through the system's shared memory instead of
            the connection.
    """

    model: str
    batch: int = 1
    concurrency: int | None = 1
    rate: float | None = None
    shared_memory: bool = False

    @property
    def label(self) -> str:
        """A name for files: letters, digits, ``_``, ``-`` and ``.``."""
        sent = f"concurrency_{self.concurrency}" if self.rate is None else f"rate_{self.rate:g}"
        memory = "_shm" if self.shared_memory else ""
        return f"{self.model}_batch_{self.batch}_{sent}{memory}"


@dataclass(frozen=True)
class Measurement:
    """What perf_analyzer says of one load; times in milliseconds.

    Attributes:
        images_per_s: images answered in a second.
        client_send_ms: mean, writing a request.
        network_ms: mean, on the way to the server's model and back.
        queue_ms: mean, waiting in the server's queues.
        compute_input_ms: mean, moving inputs.
        compute_infer_ms: mean, in the models.
        compute_output_ms: mean, moving outputs.
        client_receive_ms: mean, reading an answer.
        p50_ms: latency of a request, median.
        p90_ms: latency of a request, 90th percentile.
        p95_ms: latency of a request, 95th percentile.
        p99_ms: latency of a request, 99th percentile.
    """

    images_per_s: float
    client_send_ms: float
    network_ms: float
    queue_ms: float
    compute_input_ms: float
    compute_infer_ms: float
    compute_output_ms: float
    client_receive_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float

    @property
    def client_ms(self) -> float:
        """Mean time of a request in the client, writing and reading."""
        return self.client_send_ms + self.client_receive_ms

    @property
    def compute_ms(self) -> float:
        """Mean time of a request in the models, its inputs and outputs included."""
        return self.compute_input_ms + self.compute_infer_ms + self.compute_output_ms
