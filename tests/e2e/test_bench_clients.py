"""The client that usual recipes have, on the real network; what ``--ultralytics`` wants."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from builder.benchmark.loops import Loops
from builder.benchmark.real_network import raw_head, real_network
from builder.benchmark.same_boxes import agreement, boxes_of, check_agreement, clipped
from builder.benchmark.server_work import server_statistics
from builder.benchmark.serving import measured_server
from tests.conftest import ROOT
from tests.serving import framewire

SAMPLES = ROOT / "samples"
NAMES = ("desk.jpg", "shelf.jpg", "warehouse.jpg")
# Elsewhere OpenVINO computes in float32 whatever it is told.
HAS_BFLOAT16 = bool(re.search(r"avx512_bf16|amx_bf16", Path("/proc/cpuinfo").read_text()))


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_a_client_that_sends_tensors_finds_the_golden_boxes(tmp_path: Path, precision: str) -> None:
    (tmp_path / "images").mkdir()
    for name in NAMES:
        (tmp_path / "images" / name).symlink_to(SAMPLES / name)
    head = raw_head(SAMPLES / "code_detector" / "codes.onnx", 4)
    assert head is not None
    baselines = ROOT / "benchmarks"
    repository = real_network(baselines, head, tmp_path / "real", precision=precision, cores=2)
    answers = tmp_path / "answers.json"
    with measured_server(repository, tuned=False) as server:
        sample = Loops(baselines / "loops", 0.5, 2).client_side(
            server.target.grpc_url,
            tmp_path / "images",
            in_flight=4,
            side=head.side,
            answers=answers,
        )
        (network,) = server_statistics(server.target.grpc_url).values()
    # Every image once for its answer, and then as many as were measured.
    assert network.inference_count > len(NAMES)
    assert sample.images_per_s > 0
    assert sample.cpu_ms is not None
    assert sample.cpu_ms > 0
    golden = {
        each["file"]: each for each in json.loads((SAMPLES / "golden.json").read_text())["images"]
    }
    # It sends squares.
    wanted = [
        boxes_of([[*each["box"], each["score"], each["class"]] for each in found["in_square"]])
        for found in (golden[name] for name in NAMES)
    ]
    found = [
        clipped(boxes_of(rows), golden[name]["width"], golden[name]["height"])
        for name, rows in zip(NAMES, json.loads(answers.read_text()), strict=True)
    ]
    compared = agreement(wanted, found)
    check_agreement("the client", compared)
    # float32 finds what ultralytics does; bfloat16 nearly, or it is not what was asked for.
    exact = precision == "f32" or not HAS_BFLOAT16
    assert compared.worst_px < (1 if exact else 4)
    assert (compared.worst_score < 1e-3) == exact


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([sys.executable], "--ultralytics needs the detector's file too"),
        ([sys.executable, "none.pt"], "there is no model none.pt: check --ultralytics"),
    ],
)
def test_ultralytics_wants_files_of_the_detector(given: list[str], sentence: str) -> None:
    done = subprocess.run(
        framewire("bench", "samples", "--no-sweep", "--match", "peers", "--ultralytics", *given),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert sentence in done.stderr
