"""Small disks, another clock and slow files, for a server and nobody else on the machine."""

from __future__ import annotations

import functools
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SHIM = Path(__file__).with_name("shim.c")


class NotInjectableError(Exception):
    """This machine lacks what a fault is made with; says what."""


class Shim:
    """A clock and a disk of a server's own (shim.c).

    Args:
        folder: to make it in.

    Raises:
        NotInjectableError: there is no C compiler.
    """

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise NotInjectableError("another clock needs a C compiler: install gcc and libc6-dev")
        library, self._settings = folder / "shim.so", folder / "shim.settings"
        self.set()
        built = subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SHIM), "-ldl"],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        if built.returncode:
            raise NotInjectableError(f"{compiler} cannot build {SHIM.name}: {built.stderr[-300:]}")
        self.environment = {
            "LD_PRELOAD": str(library),
            "FRAMEWIRE_DRILL_SHIM": str(self._settings),
        }

    def set(self, *, clock_s: int = 0, disk_ms: float = 0) -> None:
        """Change both for the processes that run with it.

        Args:
            clock_s: how far the time of day is off.
            disk_ms: how much longer every use of a file takes.
        """
        packed = struct.pack("=qq", clock_s, round(disk_ms * 1000))
        # In place: it is mapped.
        with self._settings.open("r+b" if self._settings.exists() else "wb") as file:
            file.write(packed)


@functools.cache
def namespace_command() -> tuple[str, ...]:
    """Return the command in front of another that gives it mounts of its own.

    Raises:
        NotInjectableError: this user may not have any.
    """
    for options in (("--mount",), ("--mount", "--user", "--map-root-user")):
        command = ("unshare", *options, "--propagation", "private")
        try:
            probe = [*command, "mount", "-t", "tmpfs", "tmpfs", "/dev/shm"]  # noqa: S108
            if subprocess.run(probe, check=False, capture_output=True).returncode == 0:
                return command
        except OSError:
            break
    raise NotInjectableError(
        "a small /dev/shm needs root, or a kernel that lets users make namespaces, and unshare of "
        "util-linux"
    )


def with_shared_memory(size: int) -> tuple[str, ...]:
    """Return the command in front of another that gives it a /dev/shm of so many bytes."""
    mount = f"mount -t tmpfs -o size={size} tmpfs /dev/shm"
    return (*namespace_command(), "sh", "-c", f'{mount} && exec "$@"', "sh")


@contextmanager
def small_disk(size: int) -> Iterator[Path]:
    """Yield a folder on a file system with so much room.

    Raises:
        NotInjectableError: this process may not make one.
    """
    if os.geteuid() != 0:
        raise NotInjectableError("a small disk needs root")
    with tempfile.TemporaryDirectory(prefix="framewire-drill-") as mount_point:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", mount_point]
        done = subprocess.run(mount, check=False, capture_output=True, text=True)
        if done.returncode:
            raise NotInjectableError(f"a small disk cannot be mounted: {done.stderr.strip()}")
        try:
            yield Path(mount_point)
        finally:
            subprocess.run(["umount", mount_point], check=True)
