"""How long requests were held back by the steps that make frames, from a server's metrics.

Triton counts it as time of those steps. It is spent waiting for the network.
"""

from __future__ import annotations

import re
import urllib.request
from collections import Counter
from collections.abc import Mapping

from builder.errors import BenchmarkError

ANSWER_S = 10
# Counts are sent a quarter of a second after they were made (served_models/shared/metrics.py).
SAMPLE = re.compile(
    r'^framewire_held_seconds_total\{[^}]*model="(?P<model>[^"]+)"[^}]*\} (?P<seconds>\S+)',
    re.MULTILINE,
)


def held_seconds(metrics_url: str | None) -> Mapping[str, float]:
    """Return the seconds that requests were held back by each model so far, summed over requests.

    Args:
        metrics_url: ``HOST:PORT/metrics``; nothing is known without.

    Raises:
        BenchmarkError: nobody answers there.
    """
    if metrics_url is None:
        return {}
    try:
        with urllib.request.urlopen(f"http://{metrics_url}", timeout=ANSWER_S) as answer:
            text = answer.read().decode()
    except (OSError, ValueError) as error:
        raise BenchmarkError(
            f"the server does not give its metrics at {metrics_url} ({error}): check that it runs, "
            "and name them with --metrics-url HOST:PORT/metrics"
        ) from error
    seconds: Counter[str] = Counter()
    for sample in SAMPLE.finditer(text):
        seconds[sample["model"]] += float(sample["seconds"])  # type: ignore[assignment]
    return seconds
