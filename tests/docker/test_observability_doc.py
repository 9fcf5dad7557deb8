"""docs/observability.md names every metric and every alert, and none that is not there."""

from __future__ import annotations

import re

import yaml

from tests.conftest import ROOT, SERVED_MODELS

TEXT = (ROOT / "docs" / "observability.md").read_text()
RULES = yaml.safe_load((ROOT / "docker" / "prometheus" / "rules.yml").read_text())


def in_tables(pattern: str) -> set[str]:
    return set(re.findall(rf"^\| `({pattern})` \|", TEXT, re.MULTILINE))


def test_every_metric_has_its_row() -> None:
    source = "".join(file.read_text() for file in SERVED_MODELS.rglob("*.py"))
    assert in_tables(r"framewire_\w+") == set(re.findall(r'"(framewire_\w+)"', source))


def test_every_alert_has_its_row() -> None:
    alerts = {
        rule["alert"] for group in RULES["groups"] for rule in group["rules"] if "alert" in rule
    }
    assert in_tables(r"Framewire\w+") == alerts
