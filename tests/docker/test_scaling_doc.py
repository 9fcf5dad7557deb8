"""docs/scaling.md says what the commands say, and its table follows from its own figures."""

from __future__ import annotations

import argparse
import math
import re
import shlex
from pathlib import Path

import pytest

from builder.cli import main as framewire
from builder.commands.deploy import add_deploy
from builder.deployment.needs import needs_of
from builder.deployment.wishes import Wishes
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from tests.conftest import ROOT

DOCUMENT = (ROOT / "docs" / "scaling.md").read_text()
FLAT = " ".join(DOCUMENT.split())
COMMANDS = re.findall(r"^    framewire (deploy --repository model_repository .*)$", DOCUMENT, re.M)
DETECTOR = ROOT / "samples" / "code_detector" / "codes.onnx"


def test_every_command_works(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert len(COMMANDS) == 3
    printed = []
    for command in COMMANDS:
        assert framewire(shlex.split(command)) == 0
        printed.append(capsys.readouterr().out)
    assert [
        next(each for each in ("docker run", "services:", "kind: Deployment") if each in text)
        for text in printed
    ] == ["docker run", "services:", "kind: Deployment"]


def test_every_option_is_explained() -> None:
    parser = argparse.ArgumentParser()
    add_deploy(parser.add_subparsers())
    text = parser._subparsers._group_actions[0].choices["deploy"].format_help()
    options = set(re.findall(r"--[a-z-]+", text)) - {"--help", "--repository"}
    assert {each for each in options if f"`{each}" not in DOCUMENT} == {"--print"}
    assert "--print docker" in DOCUMENT


def test_the_numbers_of_the_demo_pipeline_are_todays(tmp_path: Path) -> None:
    demo = needs_of(Wishes(ROOT / "model_repository"))
    assert (
        f"The demo pipeline gets {demo.cores} cores, {demo.shared_memory_mib} MiB of shared memory "
        f"and {demo.usual_memory_mib} MiB of memory, {demo.memory_mib} MiB at most."
    ) in FLAT
    settings = BuildSettings("codes", max_image_pixels=9_000_000, stream=True)
    build_pipeline(DETECTOR, tmp_path / "small", settings)
    small = needs_of(Wishes(tmp_path / "small"))
    assert f"`--max-image-pixels 9000000` it gets {small.memory_mib} MiB at most" in FLAT


def test_the_table_follows_from_the_figures() -> None:
    kilobytes = figure(r"on the wire, in \| (\d+) kB")
    exact_s = figure(r"GPU, exact decoding \| ([\d.]+) ms") / 1e3
    scaled_s = figure(r"GPU, scaled decoding \| ([\d.]+) ms") / 1e3
    on_cpu_s = figure(r"network on the CPU \(.*?\) \| ([\d.]+) ms") / 1e3
    of_gpu = figure(r"0\.5 ms: ([\d,]+) images a second")
    busy = figure(r"share `u` = ([\d.]+)")
    assert f"cores for a GPU = 2000 / s x 0.0072 s = {of_gpu * exact_s:g}" in FLAT
    rows = re.findall(
        r"^\| ([\d,]+) \| ([\d,]+) \| ([\d.]+) ([MG])bit/s \| (.*?) \|$", DOCUMENT, re.M
    )
    assert [number(cameras) for cameras, *_ in rows] == [1, 10, 100, 1000, 10_000]
    for cameras, images, bits, unit, rest in rows:
        images_per_s = 5 * number(cameras)
        assert number(images) == images_per_s
        megabits = images_per_s * kilobytes * 8 / 1e3
        assert float(bits) * {"M": 1, "G": 1e3}[unit] == pytest.approx(megabits, rel=0.02)
        on_cpu, gpus, cores, *_ = rest.split(" | ")
        servers = re.match(r"(\d+) with (\d+) cores", on_cpu)
        total = number(on_cpu.split()[0]) if not servers else int(servers[1]) * int(servers[2])
        assert total * 1.0001 >= images_per_s * on_cpu_s / busy
        if gpus != "-":
            assert int(gpus.split(",")[0]) == math.ceil(images_per_s / of_gpu / busy)
            wanted = [math.ceil(images_per_s * each / busy) for each in (exact_s, scaled_s)]
            assert [int(each) for each in cores.split(" / ")] == wanted


def test_what_cameras_that_send_video_need_follows_from_the_figures() -> None:
    packet_s = figure(r"all of the server but the network \| ([\d.]+) ms") / 1e3
    look_s = figure(r"the network's process \(.*?\) \| ([\d.]+) ms") / 1e3
    busy = figure(r"share `u` = ([\d.]+)")
    of_gpu = figure(r"0\.5 ms: ([\d,]+) images a second")
    # A thousand of 30 frames and five looks a second.
    assert figure(r"([\d,]+) cores for 30,000 packets") == round(30_000 * packet_s / busy)
    assert figure(r"either ([\d,]+) cores or \d+ GPUs") == math.ceil(5000 * look_s / busy)
    assert figure(r"either [\d,]+ cores or (\d+) GPUs") == math.ceil(5000 / of_gpu / busy)


def figure(pattern: str) -> float:
    (found,) = re.findall(pattern, FLAT)
    return number(found)


def number(text: str) -> float:
    return float(text.replace(",", ""))
