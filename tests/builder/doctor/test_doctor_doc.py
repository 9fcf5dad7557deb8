"""docs/doctor.md knows every finding there is, with its severities, and no other."""

from __future__ import annotations

import ast
import re

from builder.doctor.finding import Severity
from tests.conftest import ROOT

DOCUMENT = (ROOT / "docs" / "doctor.md").read_text()
ROWS = {
    name: set(severities.split(", "))
    for name, severities in re.findall(r"^\| `([a-z-]+)` \| ([a-z, ]+) \|", DOCUMENT, re.MULTILINE)
}
MAKERS = ("error", "warning", "hint", "kind")
NAME = re.compile(r"[a-z]+(-[a-z]+)*")


def names_made() -> set[str]:
    """What the checks call their findings: the names among the arguments of what makes one."""
    names = set()
    for file in (ROOT / "src" / "builder" / "doctor").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                if node.func.id in {*MAKERS, "from_message", "_failed"}:
                    names |= {each for argument in node.args[:2] for each in texts(argument)}
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.IfExp):
                chosen = texts(node.value.body) | texts(node.value.orelse)
                names |= {name for name in chosen if "-" in name}
    return {name for name in names if NAME.fullmatch(name)}


def texts(node: ast.expr) -> set[str]:
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def test_the_table_has_every_finding_and_no_other() -> None:
    assert len(ROWS) > 30
    assert set(ROWS) == names_made()


def test_severities_are_those_that_exist() -> None:
    for severities in ROWS.values():
        assert severities <= {severity.value for severity in Severity}
