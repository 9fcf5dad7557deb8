from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from builder.benchmark.gpu import gpu_rows, gpus, read_gpus, watching_gpus
from builder.errors import BenchmarkError
from tests.builder.benchmark.nvidia_smi import nvidia_smi

# As the driver's documentation has the format; a MIG slice tells no utilisation.
ANSWER = """\
0, NVIDIA H200, 97, 5121, 143771, 412.63
1, NVIDIA H200, 0, 4, 143771, 77.08
0, NVIDIA H200, 91, 5377, 143771, 398.20
1, NVIDIA H200, [N/A], 4, 143771, [Not Supported]
"""


def test_utilisation_memory_and_power_are_summed_up_for_each_gpu() -> None:
    assert gpu_rows(read_gpus(ANSWER.splitlines())) == (
        ("0: NVIDIA H200", "94", "97", "5377", "143771", "405"),
        ("1: NVIDIA H200", "0", "0", "4", "143771", "77"),
    )


def test_what_a_gpu_never_tells_is_a_dash() -> None:
    slices = read_gpus(["0, NVIDIA H100 80GB HBM3 MIG 1g.10gb, [N/A], [N/A], [N/A], [N/A]"])
    assert gpu_rows(slices) == (("0: NVIDIA H100 80GB HBM3 MIG 1g.10gb", *"-----"),)


def test_what_is_no_line_of_a_gpu_is_left_out() -> None:
    assert (
        read_gpus(["Unable to determine the device handle for GPU0000:01:00.0", "", "0, X"]) == ()
    )


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (None, "nvidia-smi is not installed"),
        ("echo 'No devices were found'", "nvidia-smi: No devices were found"),
        ('echo "couldn\'t communicate with the driver"; exit 9', "communicate with the driver"),
        ("true", "it names none"),
    ],
)
def test_no_gpu_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, said: str
) -> None:
    if script is not None:
        nvidia_smi(tmp_path, script)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(BenchmarkError, match=f"no GPU to measure here .*{said}.*leave out --gpu"):
        gpus()


def test_a_watch_sees_the_gpus_until_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The last line is cut off, as when it is written at the end of the watch.
    loop = "echo '0, NVIDIA H200, 90, 5121, 143771, 400.0'; printf '0, NVIDIA H200, 9'"
    nvidia_smi(tmp_path, f'echo "$@" > {tmp_path}/asked; {loop}; sleep 0.2; touch {tmp_path}/said')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with watching_gpus(tmp_path / "gpu.csv") as watch:
        while not (tmp_path / "said").exists():
            time.sleep(0.01)
    assert [each.busy_percent for each in watch.samples] == [90.0]
    assert (tmp_path / "gpu.csv").read_text().splitlines() == [
        "index,name,utilization.gpu,memory.used,memory.total,power.draw",
        "0, NVIDIA H200, 90, 5121, 143771, 400.0",
    ]
    assert "--loop-ms=500" in (tmp_path / "asked").read_text()
