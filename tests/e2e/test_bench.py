"""``framewire bench`` with the real perf_analyzer against the real server."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from builder.benchmark.input_data import write_image_data
from builder.benchmark.load import Load
from builder.benchmark.perf_analyzer import PerfAnalyzer, find_perf_analyzer
from builder.benchmark.perf_csv import read_measurements
from builder.benchmark.serving import MeasuredServer, measured_server, profile
from builder.benchmark.soak import SIZES, Watch, varied_frames
from builder.errors import BenchmarkError
from builder.pipelines.repository import build_pipeline
from builder.serving.model_processes import stubs
from builder.settings import BuildSettings
from tests.conftest import ROOT
from tests.serving import framewire, running
from tests.tiny_detector import save_tiny_detector

IMAGES = [ROOT / "samples" / name for name in ("desk.jpg", "launch.jpg")]
STEPS = ("bls", "network", "postprocess", "preprocess")
TARGET_LINE = re.compile(
    r"target (\w+): ([\d.]+) \(goal (?:at most )?([\d.]+); ([\d.]+) to ([\d.]+) over \d+ rounds\)"
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


def test_a_server_whose_processes_cannot_be_seen_is_measured_without_their_cpu_time(
    analyzer: PerfAnalyzer, measured: MeasuredServer, image_data: Path, tmp_path: Path
) -> None:
    hidden = MeasuredServer(measured.target, pid=None)
    found = profile(analyzer, hidden, Load("tiny"), image_data, tmp_path / "csv", window_ms=200)
    assert found.measured.images_per_s > 0
    assert found.cpu_ms == {}
    assert found.server_cpu_ms is None


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
            *("--window-ms", "300", "--max-concurrency", "2"),
        ),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, out


def test_the_last_lines_are_the_targets(bench: tuple[str, Path]) -> None:
    lines = bench[0].splitlines()
    *_, one_a, one_b, two_a, two_b, three, four, five, six, p_one, p_two, peers, r1 = lines
    for number, line in zip(
        ("1a", "1b", "2a", "3", "4", "5", "r1"),
        (one_a, one_b, two_a, three, four, five, r1),
        strict=True,
    ):
        match = TARGET_LINE.fullmatch(line)
        assert match, line
        assert match[1] == number
        assert float(match[4]) <= float(match[2]) <= float(match[5])
    no_bfloat16 = "this processor computes no bfloat16"
    assert TARGET_LINE.fullmatch(p_one) or f"target p1: not measured (goal 1.5; {no_bfloat16}" in (
        p_one
    )
    no_labels = "name images that have labels with --labelled"
    assert re.fullmatch(
        rf"target p2: not measured \(goal at most 0.005; ({no_labels}|{no_bfloat16}.*)\)", p_two
    )
    assert two_b.startswith("target 2b: not measured (goal 2.0; ")
    assert peers.startswith("target p5: not measured (goal 2.0; name a Python that has ultralytics")
    assert re.fullmatch(r"target 6: not measured \(goal 2000; (no GPU here|add --gpu)\)", six)


def test_a_client_with_the_pipelines_own_code_finds_the_same_and_is_compared(
    bench: tuple[str, Path],
) -> None:
    found = re.search(
        r"^client does the work, uint8 frames: (\d+) of (\d+) boxes have their like, edges within "
        r"0\.0 px, scores within 0\.00$",
        bench[0],
        re.MULTILINE,
    )
    assert found
    assert 0 < int(found[1]) == int(found[2])
    own = re.search(
        r"^  (?:ensemble|BLS) over client does the work, uint8 frames +([\d.]+) \(.* ([\d.]+) \(",
        bench[0],
        re.MULTILINE,
    )
    assert own
    assert float(own[1]) > 0
    assert float(own[2]) > 0
    assert "client does the work, FP32 tensors: not measured, for want of" in bench[0]


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
    # Without bfloat16 one match has no rounds to draw.
    assert report.count("<svg") == 9 + ("target p1: not measured" not in bench[0])
    for said in ("cores to use", "usual recipe", "sweet spot, batch size", "knee, requests in"):
        assert said in report
        assert said in printed
    assert (out / "results.txt").read_text() in printed


def test_a_soak_shows_the_memory_of_every_process(repository: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        framewire(
            *("bench", *map(str, IMAGES), "--repository", str(repository), "--out", str(tmp_path)),
            *("--no-sweep", "--no-comparison", "--soak", "0.15"),
        ),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    table = done.stdout.partition("Soak: both variants at once")[2].splitlines()[1:]
    rows = {line.split("  ")[1]: line.split()[-5:] for line in table[1:7]}
    processes = ("tritonserver", *(f"tiny_{step}" for step in STEPS), "shared memory")
    assert tuple(rows) == processes
    for settled, end, _growth, _slope, highest in rows.values():
        assert 1 < float(settled) <= float(highest)
        assert float(end) <= float(highest)
    with (tmp_path / "soak_memory.csv").open(newline="") as lines:
        samples = list(csv.DictReader(lines))
    assert list(samples[0]) == [
        *("seconds", "tiny images", "tiny_bls images"),
        *(f"{process} MB" for process in processes),
    ]
    # Both variants had work all the time.
    for model in ("tiny", "tiny_bls"):
        answered = [int(sample[f"{model} images"]) for sample in samples[2:]]
        assert answered == sorted(set(answered))
        assert read_measurements(tmp_path / f"soak_{model}.csv")[0].images_per_s > 0
    report = (tmp_path / "report.html").read_text()
    assert report.count("<svg") == 2
    assert all(process in report for process in processes)


def test_frames_of_a_soak_are_every_image_and_every_size(tmp_path: Path) -> None:
    (tmp_path / "few").mkdir()
    few = varied_frames(IMAGES, tmp_path / "few")
    many = varied_frames(IMAGES * 3, tmp_path / "many")
    for frames, count in ((few, 4), (many, 6)):
        sizes = [cv2.imread(str(file)).shape[1::-1] for file in frames]
        assert sizes == [SIZES[number % 4] for number in range(count)]
        assert {file.stem.partition("_")[2] for file in frames} == {"desk", "launch"}


def test_a_process_that_dies_in_a_soak_is_named(repository: Path) -> None:
    with measured_server(repository) as server:
        watch = Watch(server, ("tiny", "tiny_bls"), lambda _: None)
        watch.look()
        pid = next(pid for pid, served in stubs(server.pid).items() if served.model == "tiny_bls")
        os.kill(pid, signal.SIGKILL)
        while running(pid):
            time.sleep(0.01)
        with pytest.raises(BenchmarkError, match="the process of tiny_bls ended under full load"):
            watch.look()
