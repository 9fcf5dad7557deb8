"""An examination for people, and for programs."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import Any

from builder.doctor.examination import Examination
from builder.doctor.finding import Severity

WIDTH = 100


def report(examination: Examination) -> str:
    """Return what was looked at, then what was found, then one line that sums it up."""
    lines = _table(examination.looked_at)
    if examination.not_looked_at:
        lines += ["", *_unseen(examination.not_looked_at)]
    for finding in examination.findings:
        head = f"{finding.severity.value}: {finding.name}: "
        lines += ["", *_wrapped(head + finding.sentence, "    ")]
        # On one line, to be copied.
        lines.append(f"    mend: {_plain(finding.mend)}")
    return "\n".join([*lines, "", verdict(examination)])


def verdict(examination: Examination) -> str:
    """Return one line: how many of what, and whether that is healthy."""
    looks = f"looked at {len(examination.looked_at)} things"
    if unseen := len(examination.not_looked_at):
        looks += f", could not look at {unseen}"
    if not examination.findings:
        return f"healthy: {looks}, found nothing wrong"
    count = Counter(finding.severity for finding in examination.findings)
    found = ", ".join(
        f"{count[severity]} {severity.value}{'s' if count[severity] > 1 else ''}"
        for severity in Severity
        if count[severity]
    )
    if examination.healthy:
        return f"healthy: {looks}, found nothing wrong, {found}"
    return f"ill: {looks}, found {found}"


def as_json(examination: Examination) -> dict[str, Any]:
    """Return the same as JSON types."""
    return {
        "healthy": examination.healthy,
        "findings": [
            {
                "severity": finding.severity.value,
                "name": finding.name,
                "sentence": finding.sentence,
                "mend": finding.mend,
            }
            for finding in examination.findings
        ],
        "looked_at": examination.looked_at,
        "not_looked_at": examination.not_looked_at,
    }


def _unseen(reasons: dict[str, str]) -> list[str]:
    """Return a paragraph for each reason, with all that it kept from being looked at."""
    by_reason: dict[str, list[str]] = {}
    for what, reason in reasons.items():
        by_reason.setdefault(reason, []).append(what)
    return [
        line
        for reason, whats in by_reason.items()
        for line in _wrapped(f"not looked at: {', '.join(whats)}: {reason}", "    ")
    ]


def _table(rows: dict[str, str]) -> list[str]:
    width = max(map(len, rows), default=0)
    return [line for what, words in rows.items() for line in _row(what, words, width)]


def _row(what: str, words: str, width: int) -> list[str]:
    return _wrapped(f"{what:<{width}}  {words}", " " * (width + 2))


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        _plain(text),
        WIDTH,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _plain(text: str) -> str:
    """Return a text without what files and servers may bring along to play tricks."""
    return "".join(each if each.isprintable() else " " for each in text)
