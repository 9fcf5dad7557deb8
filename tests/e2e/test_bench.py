"""``framewire bench`` with the real perf_analyzer against the real server."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.benchmark.input_data import write_image_data
from builder.benchmark.load import Load
from builder.benchmark.perf_analyzer import PerfAnalyzer, find_perf_analyzer
from builder.benchmark.perf_csv import read_measurements
from builder.benchmark.serving import MeasuredServer, measured_server, profile
from builder.errors import BenchmarkError
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from tests.conftest import ROOT
from tests.serving import framewire
from tests.tiny_detector import save_tiny_detector

IMAGES = [ROOT / "samples" / name for name in ("desk.jpg", "launch.jpg")]
TARGET_LINE = re.compile(
    r"target (\w+): ([\d.]+) \(goal ([\d.]+); ([\d.]+) to ([\d.]+) over \d+ rounds\)"
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    model = save_tiny_detector(folder / "tiny.onnx")
    build_pipeline(model, folder / "repository", BuildSettings("tiny", max_batch=4))
    return folder / "repository"


@pytest.fixture(scope="module")
def measured(repository: Path) -> Iterator[MeasuredServer]:
    with measured_server(repository) as server:
        yield server


@pytest.fixture(scope="module")
def analyzer() -> PerfAnalyzer:
    return find_perf_analyzer()


@pytest.fixture(scope="module")
def image_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "images.json"
    write_image_data([image.read_bytes() for image in IMAGES], file)
    return file


@pytest.mark.parametrize(
    "load",
    [
        Load("tiny", concurrency=2),
        Load("tiny", batch=3),
        Load("tiny_bls", concurrency=None, rate=20),
        Load("tiny", concurrency=2, shared_memory=True),
    ],
    ids=lambda load: load.label,
)
def test_every_load_reaches_the_server_as_described(
    analyzer: PerfAnalyzer, measured: MeasuredServer, image_data: Path, tmp_path: Path, load: Load
) -> None:
    csv_file = tmp_path / "kept" / "table.csv"
    found = profile(analyzer, measured, load, image_data, csv_file, window_ms=200)
    assert read_measurements(csv_file) == (found.measured,)
    assert found.measured.images_per_s > 0
    work = {each.model: each for each in found.work}
    called, network = work[load.model], work["tiny_network"]
    assert called.images == load.batch * called.requests > 0
    assert called.failures == 0
    # Each image went through the network once, in batches that add up.
    assert sum(size * count for size, count in network.batches) == network.images
    assert network.images >= called.images
    assert set(found.cpu_ms) == {
        "tritonserver",
        "tiny_bls",
        "tiny_preprocess",
        "tiny_network",
        "tiny_postprocess",
    }
    assert found.server_cpu_ms > 0


def test_images_the_server_refuses_are_a_sentence(
    analyzer: PerfAnalyzer, measured: MeasuredServer, tmp_path: Path
) -> None:
    data = tmp_path / "broken.json"
    write_image_data([b"not an image"], data)
    with pytest.raises(BenchmarkError, match="not a JPEG, PNG, WebP or BMP file"):
        profile(analyzer, measured, Load("tiny"), data, tmp_path / "table.csv", window_ms=200)


@pytest.fixture(scope="module")
def bench(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What the command printed, and its folder."""
    out = tmp_path_factory.mktemp("out")
    done = subprocess.run(
        framewire(
            "bench",
            *map(str, IMAGES),
            *("--repository", str(repository), "--out", str(out), "--rounds", "1"),
            *("--window-ms", "100", "--max-concurrency", "2"),
        ),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, out


def test_the_last_lines_are_the_targets(bench: tuple[str, Path]) -> None:
    *_, one_a, one_b, two_a, two_b, three, four, five = bench[0].splitlines()
    for number, line in zip(
        ("1a", "1b", "2a", "3", "4", "5"), (one_a, one_b, two_a, three, four, five), strict=True
    ):
        match = TARGET_LINE.fullmatch(line)
        assert match, line
        assert match[1] == number
        assert float(match[4]) <= float(match[2]) <= float(match[5])
    assert two_b.startswith("target 2b: not measured (goal 2.0; ")


def test_the_tables_of_perf_analyzer_are_kept(bench: tuple[str, Path]) -> None:
    kept = {file.name for file in bench[1].glob("*.csv")}
    assert {
        "tiny_batch_1_concurrency_1.csv",
        "tiny_batch_2_concurrency_1.csv",
        "tiny_batch_4_concurrency_1.csv",
        "tiny_batch_1_concurrency_2.csv",
        "tiny_batch_1_concurrency_1_shm.csv",
        "stub_usual_recipe_round_1.csv",
        "batching_BLS_no_batching_round_1.csv",
    } <= kept
    assert len([name for name in kept if "_rate_" in name]) == 4
    assert not [name for name in kept if "batch_8" in name]


def test_the_report_is_one_file_that_says_everything(bench: tuple[str, Path]) -> None:
    printed, out = bench
    report = (out / "report.html").read_text()
    assert not re.search(r"(?:src|href)=|https?://|<script|@import", report)
    assert report.count("<svg") == 7
    for said in ("cores to use", "usual recipe", "sweet spot, batch size", "knee, requests in"):
        assert said in report
        assert said in printed
    assert (out / "results.txt").read_text() in printed
