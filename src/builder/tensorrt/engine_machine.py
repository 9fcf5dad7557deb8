"""The TensorRT and the GPU of this machine, as its own tools tell them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from builder.errors import TrtexecError
from builder.tensorrt.plan import Machine

# Where NVIDIA's packages and its TensorRT image put it; neither folder is on PATH everywhere.
TRTEXEC_FOLDERS = (Path("/usr/src/tensorrt/bin"), Path("/opt/tensorrt/bin"))
GPU_QUERY = ("--query-gpu=name,compute_cap", "--format=csv,noheader")
# "[TensorRT v100500] [b18]" is 10.5.0.18; before TensorRT 10, v8601 was 8.6.1.
BANNER = re.compile(r"\[TensorRT v([\d.]+)\](?: \[b(\d+)\])?")
ANSWER_TIMEOUT_S = 120


@dataclass(frozen=True)
class Trtexec:
    """TensorRT's command line compiler.

    Attributes:
        path: of the program.
        version: of TensorRT, as "10.5.0.18".
        help_text: which options it knows.
    """

    path: Path
    version: str
    help_text: str


def find_trtexec() -> Path | None:
    """Return the path of trtexec, or None when it is not here."""
    places = [os.environ.get("PATH", os.defpath), *map(str, TRTEXEC_FOLDERS)]
    found = shutil.which("trtexec", path=os.pathsep.join(places))
    return Path(found) if found else None


def ask_trtexec(repository: Path) -> Trtexec:
    """Find trtexec and ask it for its version and options.

    Args:
        repository: to name in the command that helps where there is none.

    Raises:
        TrtexecError: there is none, or it cannot run.
    """
    path = find_trtexec()
    if path is None:
        raise TrtexecError(
            "trtexec, TensorRT's compiler, is neither on PATH nor in "
            f"{' or '.join(map(str, TRTEXEC_FOLDERS))}: run this in the image that serves "
            f"(`{docker_command(repository)}`), after `apt-get install libnvinfer-bin` where the "
            "image lacks trtexec; docs/tensorrt.md has the whole command"
        )
    text = _answer([str(path), "--help"])
    version = tensorrt_version(text)
    if version is None:
        raise TrtexecError(
            f"{path} --help did not say which TensorRT it is ({_last_line(text)}): check that it "
            "runs, with the libraries of its own TensorRT"
        )
    return Trtexec(path, version, text)


def docker_command(repository: Path) -> str:
    """Return what starts NVIDIA's image beside a repository, for a person to complete."""
    return (
        f"docker run --rm -it --gpus all -v {shlex.quote(str(repository.resolve().parent))}:/work "
        "-w /work nvcr.io/nvidia/tritonserver:<version>-py3"
    )


def tensorrt_version(output: str) -> str | None:
    """Read the version from trtexec's banner; None when there is none in ``output``."""
    found = BANNER.search(output)
    if not found:
        return None
    number, build = found.groups()
    if "." not in number:
        packed = int(number)
        # Two digits for minor and patch; from TensorRT 10 on, two for each.
        base = 10_000 if packed >= 100_000 else 1_000
        number = f"{packed // base}.{packed % base // 100}.{packed % 100}"
    return f"{number}.{build}" if build and number.count(".") == 2 else number


def device_of(chosen: str | None, environment: Mapping[str, str]) -> str | None:
    """Return which GPU is meant: ``--device``, else the first that CUDA may use, else None."""
    visible = environment.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    return chosen or visible or None


def device_environment(device: str | None) -> dict[str, str]:
    """Return the variables with which CUDA takes the GPU that nvidia-smi calls ``device``."""
    # By itself CUDA puts the fastest first, nvidia-smi goes by the slot.
    order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    return {**order, "CUDA_VISIBLE_DEVICES": device} if device else order


def find_gpu(device: str | None) -> tuple[str, str]:
    """Return the name and the compute capability of a GPU, by default the first.

    Raises:
        TrtexecError: nvidia-smi is missing or names none.
    """
    return find_gpus(device)[0]


def find_gpus(devices: str | None) -> list[tuple[str, str]]:
    """Return the names and the compute capabilities of some GPUs.

    Args:
        devices: indices or UUIDs with commas between; None for all.

    Raises:
        TrtexecError: nvidia-smi is missing or names none.
    """
    which = ("-i", devices) if devices else ()
    try:
        text = _answer(["nvidia-smi", *which, *GPU_QUERY])
    except FileNotFoundError:
        text = "nvidia-smi is not installed"
    listed = [line.rpartition(",") for line in text.strip().splitlines()]
    gpus = [
        (name.strip(), capability.strip())
        for name, _, capability in listed
        if re.fullmatch(r"\s*\d+\.\d+\s*", capability)
    ]
    if not gpus:
        raise TrtexecError(
            f"no GPU{f' {devices}' if devices else ''} can be seen here ({_last_line(text)}): run "
            "this on the machine that serves, in a container with `--gpus all`, and choose one of "
            "several GPUs with --device"
        )
    return gpus


def this_machine(device: str | None = None) -> Machine:
    """Return what can be found out about this machine, without an error for what cannot."""
    path, version, gpu, capability = find_trtexec(), None, None, None
    with suppress(TrtexecError):
        gpu, capability = find_gpu(device_of(device, os.environ))
    with suppress(TrtexecError):
        version = tensorrt_version(_answer([str(path), "--help"])) if path else None
    return Machine(version, capability, gpu)


def _answer(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=ANSWER_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TrtexecError(
            f"`{' '.join(command)}` gave no answer in {ANSWER_TIMEOUT_S} s: check the GPU's driver"
        ) from error
    except FileNotFoundError:
        raise
    except OSError as error:
        raise TrtexecError(f"{command[0]} cannot be run ({error.strerror}): install it") from error
    return done.stdout


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"
