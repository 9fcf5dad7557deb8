"""``framewire bench --gpu`` and ``--url`` against the real server.

No GPU is here: a stand-in answers for nvidia-smi and torch runs the network on the CPU.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.benchmark.repositories import gpu_pipeline, whole_frames_pipeline
from builder.benchmark.running import find_running, listening_triton
from builder.benchmark.serving import measured_server
from builder.cli import main
from builder.errors import BenchmarkError
from builder.pipelines.manifest import read_manifest
from builder.pipelines.repository import build_pipeline
from builder.serving.ports import free_ports
from builder.settings import BuildSettings, Nms
from tests.builder.benchmark.nvidia_smi import nvidia_smi
from tests.conftest import ROOT
from tests.serving import Serving, framewire, serving
from tests.tiny_detector import save_tiny_detector
from thin_client import Detector

BASELINES, REPOSITORY = ROOT / "benchmarks", ROOT / "model_repository"
IMAGES = [ROOT / "samples" / name for name in ("desk.jpg", "shelf.jpg")]
QUICK = ("--rounds", "2", "--window-ms", "100", "--max-concurrency", "2")
NVIDIA_SMI = """\
echo '0, NVIDIA H200, 60, 5121, 143771, 400.0'
case "$*" in
*--loop-ms*) while sleep 0.1; do echo '0, NVIDIA H200, 80, 6000, 143771, 500.0'; done ;;
esac
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    model = save_tiny_detector(folder / "tiny.onnx")
    build_pipeline(model, folder / "repository", BuildSettings("tiny", max_batch=4))
    return folder / "repository"


@pytest.fixture(scope="module")
def running_server(repository: Path) -> Iterator[Serving]:
    with serving(repository) as server:
        yield server


def bench(out: Path, *options: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    found = os.environ["PATH"] if path is None else f"{path}:{os.environ['PATH']}"
    return subprocess.run(
        framewire("bench", *map(str, IMAGES), "--out", str(out), *QUICK, *options),
        cwd=ROOT,
        env={**os.environ, "PATH": found},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_network_in_torch_finds_the_same_boxes_in_the_served_pipeline(tmp_path: Path) -> None:
    image = IMAGES[1].read_bytes()
    manifest = read_manifest(REPOSITORY, "codes")
    in_torch = gpu_pipeline(REPOSITORY, manifest, BASELINES, tmp_path / "gpu", device="cpu")
    # Torch's frames are all of one size.
    whole = whole_frames_pipeline(REPOSITORY, manifest, tmp_path / "whole")
    answers = []
    for served in (whole, in_torch):
        with measured_server(served) as server, Detector(server.target.grpc_url) as client:
            answers.append(client.detect(image))
    ours, torchs = answers
    assert len(ours) == len(torchs) > 3
    assert torchs.boxes_xyxy == pytest.approx(ours.boxes_xyxy, abs=0.05)
    assert torchs.scores == pytest.approx(ours.scores, abs=0.001)


def test_an_operator_torch_is_not_told_of_is_named(tmp_path: Path) -> None:
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    build_pipeline(model, tmp_path / "repository", BuildSettings("tiny", nms=Nms.GRAPH))
    done = bench(
        tmp_path / "out",
        *("--repository", str(tmp_path / "repository"), "--no-sweep", "--no-comparison"),
        *("--gpu", "--gpu-device", "cpu"),
        path=stand_in(tmp_path),
    )
    assert done.returncode == 1
    assert "cannot run with torch: " in done.stderr
    assert "Loop" in done.stderr
    assert "Traceback" not in done.stderr


def stand_in(folder: Path) -> Path:
    nvidia_smi(folder, NVIDIA_SMI)
    return folder


def test_target_6_is_measured_where_there_is_a_gpu(repository: Path, tmp_path: Path) -> None:
    done = bench(
        tmp_path / "out",
        *("--repository", str(repository), "--no-sweep", "--no-comparison"),
        *("--gpu", "--gpu-device", "cpu"),
        path=stand_in(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    *_, last = done.stdout.splitlines()
    assert re.fullmatch(r"target 6: \d+ \(goal 2000; \d+ to \d+ over 2 rounds\)", last)
    assert "0: NVIDIA H200" in done.stdout
    for variant in ("tiny", "tiny_bls"):
        title = f"Sweep of {variant}, 1920x1080 JPEGs, network on the GPU"
        assert title in done.stdout
    report = (tmp_path / "out" / "report.html").read_text()
    assert "0: NVIDIA H200" in report
    kept = {file.name for file in (tmp_path / "out").glob("*.csv")}
    assert {"gpu.csv", "gpu_tiny_batch_1_concurrency_2.csv", "gpu_BLS_round_2.csv"} <= kept


def test_without_a_gpu_there_is_a_sentence_and_nothing_is_measured(
    repository: Path, tmp_path: Path
) -> None:
    nvidia_smi(tmp_path, "echo 'No devices were found'; exit 6")
    done = bench(tmp_path / "out", "--repository", str(repository), "--gpu", path=tmp_path)
    assert done.returncode == 1
    assert "there is no GPU to measure here (nvidia-smi: No devices were found)" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_without_torch_there_is_a_sentence(
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", f"{stand_in(tmp_path)}:{os.environ['PATH']}")
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else find_spec(name)
    )
    options = ["--repository", str(repository), "--out", str(tmp_path / "out"), "--gpu"]
    assert main(["bench", str(IMAGES[0]), *options]) == 1
    assert "this Python has no torch, which" in capsys.readouterr().err


def test_a_server_that_runs_already_is_swept_with_its_processes(
    running_server: Serving, tmp_path: Path
) -> None:
    done = bench(tmp_path / "out", "--url", running_server.url, "--both")
    assert done.returncode == 0, done.stderr
    assert f"pipeline: tiny version 1 at {running_server.url}, built with Framewire" in done.stdout
    assert "target" not in done.stdout
    for variant in ("tiny", "tiny_bls"):
        table = done.stdout.partition(f"Sweep of {variant}, ")[2].splitlines()
        rows = dict(line.strip().split("  ", 1) for line in table[2:9])
        assert "batch 4, 1 in flight" in rows
        # All processes of the server can be seen, as it is ours.
        assert all(float(row.split()[-2]) > 0 for row in rows.values())
    kept = {file.name for file in (tmp_path / "out").glob("*.csv")}
    assert {"tiny_batch_1_concurrency_1_shm.csv", "tiny_bls_batch_4_concurrency_1.csv"} <= kept


def test_target_6_is_measured_on_a_server_that_runs_already(
    running_server: Serving, tmp_path: Path
) -> None:
    url = running_server.url
    done = bench(tmp_path / "out", "--url", url, "--gpu", "--no-sweep", path=stand_in(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("target 6: ")


def test_what_starts_servers_of_its_own_is_refused_beside_url(tmp_path: Path) -> None:
    done = bench(tmp_path / "out", "--url", "127.0.0.1:1", "--soak", "1")
    assert done.returncode == 1
    assert "leave out either them or --url" in done.stderr


def test_an_address_where_nobody_answers_is_a_sentence() -> None:
    (port,) = free_ports(1)
    with pytest.raises(BenchmarkError, match=f"127.0.0.1:{port}"):
        find_running(f"127.0.0.1:{port}", None, None)


def test_the_process_that_listens_is_found_on_this_machine_only(running_server: Serving) -> None:
    port = running_server.grpc_port
    assert listening_triton(f"127.0.0.1:{port}") == running_server.triton_pid()
    assert listening_triton(f"localhost:{port}") == running_server.triton_pid()
    # An address set aside for documentation: another machine's.
    assert listening_triton(f"192.0.2.1:{port}") is None
    assert listening_triton(f"127.0.0.1:{free_ports(1)[0]}") is None
