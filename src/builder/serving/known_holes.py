"""Known holes of Triton, by the release that mended them.

Source: NVIDIA's security bulletins, which it also publishes as https://github.com/NVIDIA/
product-security; those up to 5875 (2026-09-08) are in here. A release that no bulletin speaks of
may have holes that nobody knows yet, and so may the newest. Left out is what pipelines do not use:
the DALI backend and the MLflow plugin.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# From this score on, CVSS 3.1 calls it critical: whoever reaches a port owns the server.
CRITICAL_SCORE = 9.0

CONTAINER_TAG = re.compile(r"r?(\d\d)\.(\d\d)(-[\w.-]+)?")
SERVER_VERSION = re.compile(r"v?2\.(\d+)\.(\d+)(\D.*)?")
# Server 2.42 came with container 24.01, and every month the next; but July 2025 got 2.59.1.
FIRST_MINOR, FIRST_MONTH = 42, 24 * 12
EXTRA_MINOR, EXTRA_PATCH = 59, 1


@dataclass(frozen=True)
class Hole:
    """One hole.

    Attributes:
        cve: its number.
        sentence: what an attacker can do with it, and who; begins in lower case, ends without a
            full stop.
        fixed_in: NVIDIA's container that is the first without it, as ``25.07``.
        score: CVSS 3.1, as NVIDIA scored it: 0 to 10.
    """

    cve: str
    sentence: str
    fixed_in: str
    score: float

    @property
    def critical(self) -> bool:
        """Whether it may give the server to whoever reaches a port."""
        return self.score >= CRITICAL_SCORE


_CRASH = "whoever reaches a port can crash the server"

HOLES = (
    Hole("CVE-2024-53880", "a model with a huge file crashes the server", "24.12", 4.9),
    Hole("CVE-2025-23323", f"{_CRASH} with an invalid request", "25.05", 7.5),
    Hole("CVE-2025-23324", f"{_CRASH} with an invalid request", "25.05", 7.5),
    Hole("CVE-2025-23325", f"{_CRASH} with deeply nested input", "25.05", 7.5),
    Hole("CVE-2025-23326", f"{_CRASH} with a number that overflows", "25.05", 7.5),
    Hole(
        "CVE-2025-23327",
        "a client can change data and crash the server with a number that overflows",
        "25.05",
        7.5,
    ),
    Hole("CVE-2025-23335", "a TensorRT model made for it crashes the server", "25.05", 4.4),
    Hole("CVE-2025-23322", f"{_CRASH} by cancelling streams", "25.06", 7.5),
    Hole("CVE-2025-23331", f"{_CRASH} with a request for too much memory", "25.06", 7.5),
    Hole(
        "CVE-2025-23310",
        "whoever reaches a port may run code in the server, by overflowing its stack",
        "25.07",
        9.8,
    ),
    Hole(
        "CVE-2025-23311",
        "whoever reaches the HTTP port may run code in the server, with chunked requests",
        "25.07",
        9.8,
    ),
    Hole(
        "CVE-2025-23317",
        "whoever reaches the HTTP port may get a shell in the server",
        "25.07",
        9.1,
    ),
    Hole(
        "CVE-2025-23318",
        "whoever reaches a port may write into the memory of the Python backend",
        "25.07",
        8.1,
    ),
    Hole(
        "CVE-2025-23319",
        "whoever reaches a port may write into the memory of the Python backend, and with the two "
        "others of its chain run code",
        "25.07",
        8.1,
    ),
    Hole(
        "CVE-2025-23320",
        "whoever reaches a port learns the name of the Python backend's shared memory",
        "25.07",
        7.5,
    ),
    Hole("CVE-2025-23321", f"{_CRASH} with an invalid request", "25.07", 7.5),
    Hole(
        "CVE-2025-23333",
        "whoever reaches the shared memory may read the memory of the Python backend",
        "25.07",
        5.9,
    ),
    Hole(
        "CVE-2025-23334",
        "whoever reaches a port may read the memory of the Python backend",
        "25.07",
        5.9,
    ),
    Hole(
        "CVE-2025-23316",
        "whoever may load models can run commands, through the name of a Python model",
        "25.08",
        9.8,
    ),
    Hole("CVE-2025-23328", f"{_CRASH} with input made for it", "25.08", 7.5),
    Hole(
        "CVE-2025-23329",
        "whoever reaches a port may destroy the shared memory of the Python backend",
        "25.08",
        7.5,
    ),
    Hole("CVE-2025-23336", "a model configured wrongly crashes the server", "25.08", 4.4),
    Hole("CVE-2025-33201", f"{_CRASH} with very large requests", "25.10", 7.5),
    Hole("CVE-2025-33211", f"{_CRASH} with a quantity that is not checked", "25.10", 7.5),
    Hole("CVE-2026-24146", f"{_CRASH} by asking for very many outputs", "26.02", 7.5),
    Hole(
        "CVE-2026-24147",
        "whoever may load models can read files through a model's config",
        "26.02",
        4.8,
    ),
    Hole("CVE-2026-24173", f"{_CRASH} with a malformed request", "26.02", 7.5),
    Hole("CVE-2026-24174", f"{_CRASH} with a malformed request", "26.02", 7.5),
    Hole("CVE-2026-24175", f"{_CRASH} with a malformed header", "26.02", 7.5),
    Hole("CVE-2026-24206", "callers get past the admin key", "26.03", 7.3),
    Hole("CVE-2026-24207", "callers get past the admin key and may run code", "26.03", 9.8),
    Hole("CVE-2026-24208", f"{_CRASH} with a path", "26.03", 5.3),
    Hole("CVE-2026-24209", f"{_CRASH} with a path", "26.03", 7.5),
    Hole("CVE-2026-24210", f"{_CRASH} with a number that overflows", "26.03", 7.5),
    Hole("CVE-2026-24264", f"{_CRASH} with highly compressed data", "26.04", 7.5),
    Hole("CVE-2026-24266", f"{_CRASH}, with patience: memory is used after its end", "26.04", 5.9),
    Hole(
        "CVE-2026-47625",
        "callers do without permission what should need one, and may crash the server",
        "26.04",
        7.5,
    ),
    Hole("CVE-2026-47476", f"{_CRASH} by using up its resources", "26.05", 7.5),
    Hole("CVE-2026-47477", f"{_CRASH} by overflowing its stack", "26.05", 7.5),
    Hole("CVE-2026-47478", f"{_CRASH} through a file that was closed", "26.05", 7.5),
    Hole("CVE-2026-47479", f"{_CRASH} by using up its resources", "26.05", 7.5),
    Hole("CVE-2026-47480", f"{_CRASH} by an exception that nothing catches", "26.05", 7.5),
    Hole(
        "CVE-2026-47481",
        "callers get past what keeps them out by another way, and may run code",
        "26.05",
        6.5,
    ),
    Hole("CVE-2026-47482", f"{_CRASH} by making it lose memory", "26.05", 7.5),
    Hole(
        "CVE-2026-47606",
        "whoever reaches a port may read files and run code, with an absolute path",
        "26.06",
        6.5,
    ),
    Hole(
        "CVE-2026-47627",
        "whoever reaches a port leaves the model repository with a path, which NVIDIA scores as "
        "a takeover",
        "26.06",
        9.8,
    ),
    Hole("CVE-2026-47628", f"{_CRASH} by using up its resources", "26.06", 7.5),
    Hole("CVE-2026-47629", f"{_CRASH} with input that is not checked", "26.06", 7.5),
    Hole(
        "CVE-2026-47630",
        "who has an account on the machine reads what only the server may, with an absolute path",
        "26.06",
        5.5,
    ),
    Hole("CVE-2026-16497", f"{_CRASH} by keeping it busy without end", "26.07", 7.5),
)


def known_holes(version: str) -> tuple[Hole, ...]:
    """Return the holes of a release, the ones that were mended last first.

    Args:
        version: NVIDIA's tag of a container, as ``24.10`` or ``24.10-py3``, or the server's own
            version, as ``2.51.0``.

    Raises:
        ValueError: ``version`` is neither.
    """
    month = _month(version)
    open_still = [hole for hole in HOLES if month < _month(hole.fixed_in)]
    return tuple(sorted(open_still, key=lambda hole: _month(hole.fixed_in), reverse=True))


def container_tag(version: str) -> str:
    """Return the tag of the container that a version came with, as ``24.10`` for ``2.51.0``.

    Raises:
        ValueError: ``version`` is neither a tag nor a server's version.
    """
    years, months = divmod(_month(version), 12)
    return f"{years:02}.{months + 1:02}"


def mended_in(holes: tuple[Hole, ...]) -> str:
    """Return the first container without any of these holes."""
    return max((hole.fixed_in for hole in holes), key=_month)


def _month(version: str) -> int:
    """Return the month of a release, counted from January 2000."""
    if tag := CONTAINER_TAG.fullmatch(version):
        return int(tag[1]) * 12 + int(tag[2]) - 1
    if own := SERVER_VERSION.fullmatch(version):
        minor, patch = int(own[1]), int(own[2])
        later = minor > EXTRA_MINOR or (minor == EXTRA_MINOR and patch >= EXTRA_PATCH)
        return FIRST_MONTH + minor - FIRST_MINOR + int(later)
    raise ValueError(
        f"{version!r} is no version of Triton: expected a container's tag as 24.10, or the "
        "server's version as 2.51.0"
    )
