"""Finished plans that are kept in the cache folder, for the next server that needs the same.

A container that starts again, or the next one with the same cache volume, has the same network, the
same TensorRT and a GPU of the same kind: it takes the plan from here, and trtexec need not run.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from builder.detectors.onnx_file import sha256_of
from builder.pipelines.model_configs import PLAN_FILE
from builder.tensorrt.plan import FINGERPRINT_FILE, Fingerprint, fingerprint_text, read_fingerprint

PLANS = "plans"
# Oldest use first to go. A plan of a detector takes tens of megabytes.
KEPT_PLANS = 16
LOOK_S = 0.2

Waiting = Callable[[float], None]
"""Called with the seconds gone by while another process compiles the same plan."""


@dataclass(frozen=True)
class PlanKey:
    """What a plan is compiled from and for: two plans with the same key do the same.

    Attributes:
        onnx_sha256: of the network, in hex.
        tensorrt_version: as "10.5.0.18".
        compute_capability: of the GPU, as "8.9".
        options: of trtexec, without those that only name files.
    """

    onnx_sha256: str
    tensorrt_version: str
    compute_capability: str
    options: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Name of the folder of its plan: for a person the place, for the rest a hash."""
        text = json.dumps([self.onnx_sha256, *self.options]).encode()
        digest = hashlib.sha256(text).hexdigest()[:16]
        return f"{self.tensorrt_version}-{self.compute_capability}-{digest}"

    def matches(self, fingerprint: Fingerprint) -> bool:
        """Return whether a fingerprint says the same."""
        return self == PlanKey(
            fingerprint.onnx_sha256,
            fingerprint.tensorrt_version,
            fingerprint.compute_capability,
            fingerprint.options,
        )


class KeptPlan:
    """The place of one plan in the cache, while no other process may touch it."""

    def __init__(self, folder: Path, key: PlanKey) -> None:
        self._folder = folder
        self._key = key

    @property
    def plan(self) -> Path:
        """File of the plan, if there is one."""
        return self._folder / PLAN_FILE

    def find(self) -> Fingerprint | None:
        """Return the fingerprint of the plan that is there and whole; None when there is none."""
        fingerprint = read_fingerprint(self._folder)
        if fingerprint is None or not self._key.matches(fingerprint) or not self.plan.is_file():
            return None
        if sha256_of(self.plan) != fingerprint.plan_sha256:
            return None
        os.utime(self._folder)
        return fingerprint

    def keep(self, plan: Path, fingerprint: Fingerprint) -> None:
        """Move a plan here, and let go of those that were not used for longest.

        Args:
            plan: file on the same file system.
            fingerprint: of the plan.
        """
        self.plan.unlink(missing_ok=True)
        # A kill in between leaves a fingerprint without a plan, which counts as none.
        (self._folder / FINGERPRINT_FILE).write_text(fingerprint_text(fingerprint))
        plan.replace(self.plan)
        os.utime(self._folder)
        _forget_oldest(self._folder.parent)


@contextmanager
def kept_plan(
    cache: Path, key: PlanKey, *, waiting: Waiting, interval_s: float
) -> Iterator[KeptPlan]:
    """Give the place of a plan in the cache, alone; wait for a process that is making it.

    Args:
        cache: the folder.
        key: of the plan.
        waiting: called every ``interval_s`` seconds while another process has the place.
        interval_s: seconds between two calls.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = cache / PLANS / key.folder
    start = told = time.monotonic()
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if _lock(descriptor) and _is_still(folder, descriptor):
                yield from _alone(folder, key)
                return
        finally:
            os.close(descriptor)
        if time.monotonic() - told >= interval_s:
            told = time.monotonic()
            waiting(told - start)
        time.sleep(LOOK_S)


def _alone(folder: Path, key: PlanKey) -> Iterator[KeptPlan]:
    try:
        yield KeptPlan(folder, key)
    finally:
        with suppress(OSError):
            folder.rmdir()  # where no plan was made


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(folder: Path, descriptor: int) -> bool:
    """Return whether an opened folder is the one at its path: another process may forget it."""
    try:
        return os.path.samestat(folder.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _forget_oldest(plans: Path) -> None:
    by_use = sorted(plans.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
    for folder in by_use[KEPT_PLANS:]:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if _lock(descriptor):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)
