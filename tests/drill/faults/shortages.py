"""Little shared memory, a disk full during builds, a clock that jumps, a slow disk."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from builder.serving.shared_memory import SHM_DEFAULT_BYTES
from tests import images
from tests.drill.injection import NotInjectableError, Shim, small_disk, with_shared_memory
from tests.drill.load import AT_ONCE, SQUARES, Load, percentile, to_the_bit
from tests.drill.memory import MemoryWatch
from tests.drill.outcome import Outcome
from tests.drill.repositories import NAME, tiny_repository
from tests.drill.scale import Scale
from tests.drill.servers import Server, seconds_until, served
from tests.serving import framewire
from tests.tiny_detector import save_tiny_detector, tiny_detector
from thin_client import Detector, FramewireError

MB = 2**20
# Of the six regions that the tiny pipeline's processes make, room for two.
TOO_LITTLE = 2 * SHM_DEFAULT_BYTES
ENOUGH = 16 * SHM_DEFAULT_BYTES
DAY_S = 86_400
JUMPS_S = (DAY_S, -DAY_S, 3650 * DAY_S, 0, 7, -7, 0)
SLOW_START_MS, SLOW_BUILD_MS, SLOW_SERVING_MS = 1, 1, 500
JITTER_S = 0.1
# What a person sees: one sentence, and no traceback.
SENTENCE = re.compile(r"framewire: \S.*")
# Of what a build needs, the most room it is given; files grow in whole pages.
ALMOST_ENOUGH = 0.9
PAGE = 4096


def run(scale: Scale, folder: Path) -> Outcome:
    """Take away one thing after the other; all is refused or survived in words."""
    outcome = Outcome("little /dev/shm, full disk, clock jumps, slow disk")
    repository = tiny_repository(folder, max_image_bytes=4 * MB)
    for fault in (_shared_memory, _full_disk, _clock, _slow_disk):
        try:
            fault(scale, repository, folder, outcome)
        except NotInjectableError as error:
            outcome.broken.append(f"not injected: {error}")
    return outcome


def _shared_memory(scale: Scale, repository: Path, _folder: Path, outcome: Outcome) -> None:
    """Too little to start with, and a /dev/shm that somebody fills while it serves."""
    server = Server(repository, before=with_shared_memory(TOO_LITTLE))
    try:
        seconds_until(lambda: server.process.poll() is not None, 60)
        said = server.error_text()
        outcome.expect(
            server.process.poll() == 1 and "/dev/shm" in said and "Traceback" not in said,  # noqa: S108
            f"with {TOO_LITTLE // MB} MB of /dev/shm it said: {said[-300:]}",
        )
    finally:
        server.stop()
    picture = images.encoded(images.photograph(900, 700), ".bmp")
    for _ in range(scale.of(5, 1)):
        with (
            served(repository, before=with_shared_memory(ENOUGH)) as server,
            MemoryWatch(lambda server=server: [server]) as watch,  # type: ignore[misc]
        ):
            _fill_up(server, picture, scale, outcome)
        outcome.peak_mb = max(watch.peak_mb, outcome.peak_mb or 0.0)


def _fill_up(server: Server, picture: bytes, scale: Scale, outcome: Outcome) -> None:
    """Batches that need more shared memory than is left, while small calls go on."""
    ballast = Path(f"/proc/{server.triton_pid()}/root/dev/shm/ballast")
    with Detector(server.url, NAME, retry=AT_ONCE, timeout_s=20) as detector:
        expected = [to_the_bit(found) for found in detector.detect_batch([*SQUARES, picture])]
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(MB))
        # Sixteen pictures of almost two megabytes do not fit into a region as it is.
        for _ in range(scale.of(20, 5)):
            for batch in ([picture] * 16, list(SQUARES)):
                outcome.sent += len(batch)
                try:
                    found = detector.detect_batch(batch)
                except FramewireError as error:
                    outcome.refused += len(batch)
                    outcome.expect("Traceback" not in str(error), f"a refusal said: {error}")
                    continue
                right = expected[3:] * 16 if len(batch) == 16 else expected[:3]
                same = sum(to_the_bit(a) == b for a, b in zip(found, right, strict=True))
                outcome.answered += same
                outcome.lost += len(batch) - same
                outcome.expect(same == len(batch), "an answer was wrong while /dev/shm was full")
        ballast.unlink(missing_ok=True)

        def well() -> bool:
            try:
                found = detector.detect_batch([*SQUARES, *[picture] * 13])
            except FramewireError:
                return False
            return [to_the_bit(each) for each in found] == expected[:3] + expected[3:] * 13

        healed_s = seconds_until(well, 60)
        outcome.expect(healed_s is not None, "with room in /dev/shm again it did not answer")
        if healed_s is not None:
            outcome.healed(healed_s)


def _full_disk(scale: Scale, repository: Path, folder: Path, outcome: Outcome) -> None:
    """Builds on a disk with room for less and less of them, beside a server of that repository."""
    wide = save_tiny_detector(folder / "wide.onnx", tiny_detector(2048, 2048))
    small = folder / "tiny.onnx"
    room = 12 * MB
    with small_disk(room) as disk:
        served_here = disk / "repository"
        _build(small, served_here)
        before = _contents(served_here)
        most = int(ALMOST_ENOUGH * _needed(wide, folder / "elsewhere"))
        with served(served_here) as server, Load(server.url, threads=1, pause_s=0.01) as load:
            steps = scale.of(40, 4)
            for step in range(steps):
                left = most * step // steps
                with (disk / "ballast").open("wb") as ballast, suppress(OSError):
                    while _free(disk) > left:
                        ballast.write(bytes(min(64 * 1024, _free(disk) - left)))
                        ballast.flush()
                done = _build(wide, served_here)
                (disk / "ballast").unlink()
                outcome.expect(
                    done.returncode == 1
                    and SENTENCE.fullmatch(done.stderr.strip()) is not None
                    and "No space left on device" in done.stderr,
                    f"a build with {left} bytes of room said: {done.stderr[-300:]}",
                )
                outcome.expect(
                    _contents(served_here) == before, "a build on a full disk left traces"
                )
            load.wait_for_more(20)
        load.tally.into(outcome)


def _needed(model: Path, repository: Path) -> int:
    """Bytes of disk that a pipeline of a model takes."""
    _build(model, repository)
    sizes = (file.stat().st_size for file in repository.rglob("*") if file.is_file())
    return sum(-(-size // PAGE) * PAGE for size in sizes)


def _clock(scale: Scale, repository: Path, folder: Path, outcome: Outcome) -> None:
    """The time of day of the server and all its processes jumps by days, under load."""
    shim = Shim(folder)
    with (
        served(repository, environment=shim.environment) as server,
        Load(server.url, threads=2) as load,
        Load(server.url, bls=True, threads=2) as load_bls,
    ):
        for jump_s in JUMPS_S * scale.of(10, 1):
            shim.set(clock_s=jump_s)
            load.wait_for_more(100)
            load_bls.wait_for_more(100)
            if server.process.poll() is not None or load.tally.lost or load_bls.tally.lost:
                outcome.broken.append(f"it did not survive that the clock was {jump_s} s off")
                break
        shim.set()
    load.tally.into(outcome)
    load_bls.tally.into(outcome)


def _slow_disk(scale: Scale, repository: Path, folder: Path, outcome: Outcome) -> None:
    """A build and a start on a slow disk, and a disk that becomes slow while it serves."""
    shim = Shim(folder)
    wanted = _contents(repository)
    shim.set(disk_ms=SLOW_BUILD_MS)
    begun = time.monotonic()
    done = _build(folder / "tiny.onnx", folder / "slow", shim)
    outcome.notes.append(
        f"a build of which every use of a file took {SLOW_BUILD_MS} ms longer took "
        f"{time.monotonic() - begun:.0f} s"
    )
    outcome.expect(done.returncode == 0, f"a build on a slow disk said: {done.stderr[-300:]}")
    same = _contents(folder / "slow").keys() == wanted.keys()
    outcome.expect(same, "a build on a slow disk made something else")
    shim.set(disk_ms=SLOW_START_MS)
    with served(folder / "slow", environment=shim.environment) as server:
        shim.set()
        with Load(server.url, threads=2) as load:
            load.wait_for_more(scale.of(2000, 200))
            usual_s = percentile(load.tally.latencies_s, 99)
        load.tally.into(outcome)
        with Load(server.url, threads=2) as load:
            shim.set(disk_ms=SLOW_SERVING_MS)
            load.wait_for_more(scale.of(2000, 200))
            slow_s = percentile(load.tally.latencies_s, 99)
            shim.set()
        load.tally.into(outcome)
    outcome.expect(
        slow_s <= 2 * usual_s + scale.limit(JITTER_S),
        f"with a disk of {SLOW_SERVING_MS} ms p99 went from {usual_s * 1e3:.0f} to "
        f"{slow_s * 1e3:.0f} ms: something reads files for every request",
    )


def _build(
    model: Path, repository: Path, shim: Shim | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        framewire("build", str(model), "--name", NAME, "--repository", str(repository)),
        capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, **(shim.environment if shim else {})},
    )  # fmt: skip


def _contents(repository: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(repository)): path.read_bytes()
        for path in sorted(repository.rglob("*"))
        if path.is_file()
    }


def _free(disk: Path) -> int:
    return shutil.disk_usage(disk).free
