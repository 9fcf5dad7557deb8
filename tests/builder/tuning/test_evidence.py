"""What is kept beside the settings says everything that was measured."""

from __future__ import annotations

import json

import pytest

from builder.pipelines.manifest import Manifest, read_manifest
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from builder.tuning.confirmation import Confirmation
from builder.tuning.evidence import EVIDENCE_JSON, EVIDENCE_TEXT, Tuning, evidence_files
from builder.tuning.search import Search
from builder.tuning.trial import Trial
from tests.builder.tuning.stand_ins import CHOICE, OTHER, point, trial
from tests.tiny_detector import save_tiny_detector

PRESENT = trial(100, 98, 101)
BEST = trial(150, 148, 152, choice=OTHER, in_flight=8)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("evidence")
    build_pipeline(save_tiny_detector(folder / "m.onnx"), folder / "r", BuildSettings("tiny"))
    return read_manifest(folder / "r", "tiny")


def tuning(
    manifest: Manifest, trials: tuple[Trial, ...], confirmation: Confirmation | None = None
) -> Tuning:
    return Tuning(
        manifest=manifest,
        machine={"processor": "a fast one, 2 cores to use"},
        images="2 JPEGs",
        bound_ms=60.0,
        window_ms=1000,
        space={"decoder": (CHOICE.decoder,), "instances": (2, 4)},
        found=Search(trials, trials[-1]),
        confirmation=confirmation,
    )


def rounds(winner: float) -> Confirmation:
    present = tuple({"tiny": point(each)} for each in (100, 102, 98))
    return Confirmation(present, ({"tiny": point(winner, cpu_ms=12)},) * 3, 60.0)


def test_the_json_file_holds_every_measurement(manifest: Manifest) -> None:
    files = evidence_files(tuning(manifest, (PRESENT, BEST), rounds(150)))
    kept = json.loads(files[EVIDENCE_JSON])
    assert kept["machine"] == {"processor": "a fast one, 2 cores to use"}
    assert kept["bound"] == {"p99_ms": 60.0}
    assert (kept["pipeline"], kept["tuned_version"], kept["images"]) == ("tiny", 1, "2 JPEGs")
    assert kept["tried"] == {"decoder": ["exact"], "instances": [2, 4]}
    assert kept["present"] == CHOICE.values
    assert kept["best"] == OTHER.values
    present, best = kept["trials"]
    assert present["settings"] == CHOICE.values
    assert best["images_per_s_within_bound"] == pytest.approx(150)
    measured = best["variants"]["tiny"]["measured"]
    assert [each["images_per_s"] for each in measured] == [150, 148, 152]
    assert measured[0] == {
        "in_flight": 8,
        "images_per_s": 150,
        "p50_ms": 25,
        "p99_ms": 50,
        "cpu_ms": 20,
    }
    assert best["variants"]["tiny"]["held"]["in_flight"] == 8
    confirmation = kept["confirmation"]
    assert [each["best"]["tiny"]["cpu_ms"] for each in confirmation["rounds"]] == [12, 12, 12]
    found = confirmation["throughput_ratio"]
    assert (found["rounds"], round(found["median"], 2)) == (3, 1.5)
    assert kept["changes"] is True
    assert kept["requests_in_flight"] == {"tiny": 8}
    assert kept["verdict"].startswith("1.50 times the present throughput (1.47 to 1.53 over 3")


def test_the_text_file_can_be_read(manifest: Manifest) -> None:
    lines = evidence_files(tuning(manifest, (PRESENT, BEST), rounds(150)))[EVIDENCE_TEXT]
    rows = [line.split() for line in lines.splitlines()]
    assert ["2", "auto", "16", "exact", "fp32", "4", "100.0", "25.0", "50.0", "20.0"] in rows
    assert ["4*", "auto", "16", "exact", "fp32", "8", "150.0", "25.0", "50.0", "20.0"] in rows
    assert ["2,", "tiny", "102.0", "50.0", "150.0", "50.0"] in rows
    best = "decoder exact, 4 instances, auto threads each, batches up to 16, fp32"
    assert f"best found: {best}" in lines
    assert "processor: a fast one" in lines
    assert lines.endswith("rounds)\nrequests in flight: 8, to tiny\n")


def test_nothing_changes_without_a_sure_gain(manifest: Manifest) -> None:
    stays = tuning(manifest, (PRESENT,))
    assert not stays.changes
    assert stays.keeps_bound
    assert "no settings were better than the present ones" in evidence_files(stays)[EVIDENCE_TEXT]
    assert stays.in_flight == {"tiny": 4}
    unsure = tuning(manifest, (PRESENT, BEST), rounds(101))
    assert not unsure.changes
    assert unsure.in_flight == {"tiny": 4}
    assert json.loads(evidence_files(unsure)[EVIDENCE_JSON])["changes"] is False


def test_nothing_that_keeps_the_bound_is_told(manifest: Manifest) -> None:
    slow = tuning(manifest, (trial(100, p99_ms=80, held=False),))
    assert not slow.keeps_bound
    files = evidence_files(slow)
    assert "nothing keeps the bound: the least p99 was 80.0 ms" in files[EVIDENCE_TEXT]
    assert json.loads(files[EVIDENCE_JSON])["trials"][0]["variants"]["tiny"]["held"] is None
    assert ["2-", "auto"] in [line.split()[:2] for line in files[EVIDENCE_TEXT].splitlines()]


def test_a_bound_that_was_kept_only_once_is_not_kept(manifest: Manifest) -> None:
    slow = ({"tiny": point(100, 61)},) * 3
    luck = tuning(manifest, (trial(100, held=False), BEST), Confirmation(slow, slow, 60.0))
    assert not luck.keeps_bound
    assert not luck.changes


def test_a_machine_that_was_not_quiet_is_told(manifest: Manifest) -> None:
    shaken = evidence_files(tuning(manifest, (trial(100, 80, 110),)))[EVIDENCE_TEXT]
    assert "differed by up to 30%: leave the machine alone" in shaken
    assert "differed by" not in evidence_files(tuning(manifest, (PRESENT,)))[EVIDENCE_TEXT]
