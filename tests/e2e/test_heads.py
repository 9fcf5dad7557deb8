"""Every head, from an ONNX file to boxes out of the real Triton: the rows of ``make heads``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.heads.sources import BUILDS, Build
from tests.heads.table import Row, make_rows


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[Build, Row]:
    return {row.build: row for row in make_rows(Path(tmp_path_factory.mktemp("heads")))}


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.name)
def test_a_head_is_served_as_its_reference_has_it(rows: dict[Build, Row], build: Build) -> None:
    row = rows[build]
    assert not row.problem
    assert row.agreement is not None
    assert row.agreement.matched >= 20
