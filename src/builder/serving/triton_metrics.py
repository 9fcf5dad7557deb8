"""Counts that Triton tells in its Prometheus metrics and nowhere else."""

from __future__ import annotations

import http.client
import re
from collections import Counter
from collections.abc import Mapping

from builder.serving.server_options import ServerOptions

ANSWER_S = 0.5
# Of the labels only these; see "Metrics" in Triton's documentation.
SAMPLE = (
    r'^{metric}\{{(?=[^}}]*\bmodel="(?P<model>[^"]+)")'
    r'(?:[^}}]*\breason="(?P<reason>\w+)")?[^}}]*\}} (?P<value>\S+)$'
)
FAILURES = re.compile(SAMPLE.format(metric="nv_inference_request_failure"), re.MULTILINE)
PENDING = re.compile(SAMPLE.format(metric="nv_inference_pending_request_count"), re.MULTILINE)
CANCELED = "CANCELED"


class TritonMetrics:
    """The metrics port of a Triton that this process started.

    Args:
        options: it was started with.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._address = options.local_address
        self._port = options.metrics_port

    def failures(self) -> Mapping[str, int] | None:
        """Return how many requests each model has failed that nobody cancelled.

        Returns:
            None where Triton does not tell.
        """
        return self._count(FAILURES, but=CANCELED)

    def pending(self) -> Mapping[str, int] | None:
        """Return how many requests wait for each model to begin with them; likewise."""
        return self._count(PENDING)

    def _count(self, samples: re.Pattern[str], *, but: str | None = None) -> Counter[str] | None:
        text = self._text()
        if text is None:
            return None
        counts: Counter[str] = Counter()
        for sample in samples.finditer(text):
            if but is None or sample["reason"] != but:
                counts[sample["model"]] += int(float(sample["value"]))
        return counts

    def _text(self) -> str | None:
        connection = http.client.HTTPConnection(self._address, self._port, timeout=ANSWER_S)
        try:
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException):
            return None
        else:
            return text if answer.status == http.client.OK else None
        finally:
            connection.close()
