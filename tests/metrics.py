"""Reading the metrics port of a running server."""

from __future__ import annotations

import re
import urllib.request

SAMPLE = re.compile(r"(?P<name>\w+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
LABEL = re.compile(r'(\w+)="([^"]*)"')

Sample = tuple[str, dict[str, str], float]


def scrape(port: int) -> list[Sample]:
    """Every sample: name, labels and value."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    samples = []
    for line in lines:
        if not line.startswith("#") and (found := SAMPLE.fullmatch(line)):
            labels = dict(LABEL.findall(found["labels"] or ""))
            samples.append((found["name"], labels, float(found["value"])))
    return samples


def total(samples: list[Sample], name: str, **labels: str) -> float:
    """The sum of a metric over all series with these labels."""
    return sum(
        value for each, own, value in samples if each == name and labels.items() <= own.items()
    )
