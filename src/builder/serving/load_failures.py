"""Why Triton did not load models, from what it logs and answers."""

from __future__ import annotations

import re
from collections.abc import Iterable

LOAD_FAILURE = re.compile(r"failed to load '(?P<model>[^']+)' version \d+: (?P<reason>.*)")
# Of a model whose config it refuses, it gives no reason when it is asked.
POLL_FAILURE = re.compile(r"Poll failed for model directory '(?P<model>[^']+)': (?P<reason>.*)")
# What it says of a model that it was told to let go of.
UNLOADED = "unloaded"
# Where Triton has the repository, which nobody else knows by that path.
LINK = re.compile(r"[^\s\"']*/framewire-[^/\s]+/repository/")


def load_failures(log: Iterable[str]) -> dict[str, str]:
    """Return why models did not load, by their names, as lines of Triton's log say."""
    failures = (
        match for line in log if (match := POLL_FAILURE.search(line) or LOAD_FAILURE.search(line))
    )
    return {match["model"]: match["reason"].removesuffix('"') for match in failures}


def short_reason(reason: str) -> str:
    """Return why a model did not load in one line, without the traceback, which the log has."""
    lines = reason.replace("\\n", "\n").split("\n\nAt:")[0].splitlines()
    return LINK.sub("", " ".join(line.strip() for line in lines if line.strip()))
