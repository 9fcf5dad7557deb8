"""What machine and software a measurement was made with."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

from builder import __version__

PACKAGES = ("nvidia-pytriton", "openvino", "opencv-python-headless", "simplejpeg", "numpy")


def describe_machine() -> dict[str, str]:
    """Return facts about this machine in words, by what they are about."""
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    return {
        "time": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{_processor()}, {len(os.sched_getaffinity(0))} cores to use",
        "memory": f"{_memory_bytes() / 2**30:.1f} GiB",
        "gpu": _gpu(),
        "system": f"{_distribution()}, Linux {platform.release()}, glibc {platform.libc_ver()[1]}",
        "load before": f"{load} (1, 5, 15 minutes)",
        "software": ", ".join(
            [f"framewire {__version__}", f"Python {platform.python_version()}", *_packages()]
        ),
    }


def _processor() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _gpu() -> str:
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return "none"
    return "; ".join(listed.stdout.split("\n")).strip("; ") or "none"


def _packages() -> list[str]:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return found


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
