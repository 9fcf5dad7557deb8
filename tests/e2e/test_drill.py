"""The short form of every fault of the drill, and the table that says what became of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.drill.damage import GOOD, KINDS
from tests.drill.faults import FAULTS
from tests.drill.outcome import Outcome, last_line, remarks, table

pytestmark = pytest.mark.alone

NEEDS_A_MINUTE_OR_TWO_S = 600


@pytest.mark.parametrize("fault", FAULTS)
def test_the_short_form_of_a_fault_holds(fault: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.drill", "--short"),
            *("--only", fault, "--json", str(tmp_path / "found.json")),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=NEEDS_A_MINUTE_OR_TWO_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "drill: 1 of 1 faults held"
    found = json.loads((tmp_path / "found.json").read_text())[fault]
    assert found["held"]
    assert found["lost"] == 0
    assert found["sent"] > 0
    # What was sent came back, one way or the other.
    assert found["sent"] == found["answered"] + found["refused"]


def test_there_are_the_ten_faults_of_the_table_and_forty_kinds_of_damage() -> None:
    assert len(FAULTS) == 10
    assert len(KINDS) == 40
    assert len(GOOD) == 5


def test_a_fault_that_did_not_hold_is_told_with_its_reason() -> None:
    outcomes = {
        "one": Outcome("5 x this", sent=7, answered=6, refused=1, notice_s=0.52, heal_s=3.0),
        "two": Outcome("that", sent=2, lost=2, peak_mb=99.6, broken=["2 of 2 calls were lost"]),
    }
    lines = table(outcomes)
    assert len({len(line) for line in lines}) == 1
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == [
        *("one", "5 x this", "7", "6", "1", "0", "0.5", "3.0", "", "yes")
    ]
    assert [cell.strip() for cell in lines[3].split("|")[1:-1]] == [
        *("two", "that", "2", "0", "0", "2", "", "", "100", "NO")
    ]
    assert remarks(outcomes) == ["two: NOT HELD: 2 of 2 calls were lost"]
    assert last_line(outcomes) == "drill: 1 of 2 faults held"
