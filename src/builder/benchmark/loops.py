"""Running the loops of ``benchmarks/loops``: the same work without a server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from builder.benchmark.sample import Sample
from builder.errors import BenchmarkError
from builder.pipelines.manifest import Manifest
from builder.serving.server_options import ALLOCATOR, ONE_THREAD

# For imports, compiling a network and one run through the images.
STARTING_S = 180
# For writing down its threads' stacks.
ABORTING_S = 5


@dataclass(frozen=True)
class Loops:
    """Where the loops are and for how long they run.

    Attributes:
        folder: ``benchmarks/loops`` of a clone.
        seconds: of each run.
        workers: threads or processes, where a loop may use all cores.
    """

    folder: Path
    seconds: float
    workers: int

    def decode_limit(self, version_folder: Path, images: Path, *, workers: int) -> Sample:
        """Decode and letterbox with the code in a version's folder, and nothing else."""
        return self._run(
            "decode_limit.py",
            *("--version-folder", version_folder, "--images", images, "--workers", workers),
        )

    def in_process(self, repository: Path, manifest: Manifest, images: Path, style: str) -> Sample:
        """Do the whole job in one process."""
        return self._run(
            "in_process.py",
            *("--repository", repository, "--name", manifest.name, "--version", manifest.version),
            *("--images", images, "--workers", self.workers, "--style", style),
        )

    def client_side(
        self,
        url: str,
        images: Path,
        *,
        in_flight: int,
        side: int = 640,
        answers: Path | None = None,
    ) -> Sample:
        """Have a client decode, send tensors to the usual recipe's network and read the head."""
        return self._run(
            "client_side.py",
            *("--url", url, "--images", images, "--workers", in_flight, "--size", side),
            *_answers(answers),
            tuned=False,
        )

    def client_frames(
        self,
        url: str,
        repository: Path,
        manifest: Manifest,
        images: Path,
        *,
        in_flight: int,
        answers: Path,
    ) -> Sample:
        """Have a client do what the pipeline does, and ask the pipeline's network only."""
        return self._run(
            "client_frames.py",
            *("--repository", repository, "--name", manifest.name, "--version", manifest.version),
            *("--url", url, "--images", images, "--workers", in_flight),
            *_answers(answers),
        )

    def ultralytics(
        self,
        python: Path,
        model: Path,
        images: Path,
        *,
        square: bool = False,
        answers: Path | None = None,
    ) -> Sample:
        """Let ultralytics do the whole job, in an environment that has it, as it is by itself."""
        return self._run(
            "ultralytics_predict.py",
            *("--model", model, "--images", images),
            *(["--square"] if square else []),
            *_answers(answers),
            python=python,
            tuned=False,
        )

    def _run(
        self, loop: str, *arguments: object, python: Path | None = None, tuned: bool = True
    ) -> Sample:
        tuning = {**ALLOCATOR, **ONE_THREAD} if tuned else {}
        program = str(python or sys.executable)
        command = [program, str(self.folder / loop), *map(str, arguments)]
        timeout_s = STARTING_S + 3 * self.seconds
        try:
            with subprocess.Popen(
                [*command, "--seconds", str(self.seconds)],
                # So that one that hangs says where, when it is aborted.
                env={**tuning, "PYTHONFAULTHANDLER": "1", **os.environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            ) as process:
                printed, errors = _communicate(process, loop, timeout_s)
            return Sample(**json.loads(printed.splitlines()[-1]))
        except OSError as error:
            raise BenchmarkError(
                f"{program} cannot run {loop} ({error.strerror}): name a Python interpreter"
            ) from error
        except (IndexError, ValueError, TypeError) as error:
            lines = errors.strip().splitlines() or [f"exit code {process.returncode}"]
            raise BenchmarkError(
                f"{loop} failed ({lines[-1]}): run it by hand, its first lines say how"
            ) from error


def _answers(file: Path | None) -> tuple[object, ...]:
    return ("--answers", file) if file else ()


def _communicate(process: subprocess.Popen[str], loop: str, timeout_s: float) -> tuple[str, str]:
    """Return what a loop printed, on both streams.

    Raises:
        BenchmarkError: it did not end; the sentence has what its threads were doing.
    """
    try:
        return process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        process.send_signal(signal.SIGABRT)
        try:
            _, stacks = process.communicate(timeout=ABORTING_S)
        except subprocess.TimeoutExpired:
            process.kill()
            stacks = ""
        raise BenchmarkError(
            f"{loop} did not end within {timeout_s:.0f} s: run it by hand, its first lines say how"
            + (f"\n{stacks.strip()}" if stacks else "")
        ) from error
    except BaseException:
        process.kill()
        raise
