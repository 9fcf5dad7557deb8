"""Triton's own load generator: finding it, running it, reading what it found."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.benchmark.load import Load, Measurement
from builder.benchmark.perf_csv import read_measurements
from builder.errors import BenchmarkError, PerfAnalyzerMissingError
from builder.serving.embedded import PRIVATE_LIBRARIES

PROGRAM = "perf_analyzer"
# Where .ci/bring-perf-analyzer unpacks it, with the libraries it lacks in lib/ beside it.
PRIVATE_FOLDER = PRIVATE_LIBRARIES / PROGRAM
WAY_OUT = (
    "`make bench` brings one, NVIDIA's SDK container has one "
    "(nvcr.io/nvidia/tritonserver:24.10-py3-sdk), or name yours with --perf-analyzer PATH"
)
# perf_analyzer takes three windows at least. It calls them stable when they differ by less than so
# many percent; we take them as they are and show the spread over rounds instead.
WINDOWS = 3
ANY_SPREAD_PERCENT = 999
UNSTABLE = re.compile(r"Failed to obtain stable measurement|No valid requests recorded")
# Its first look at a busy server's metrics may time out.
BUSY = re.compile(r"Unable to connect to Metrics endpoint")
LONGER_WINDOWS = (1, 3, 9)
# For its start and for what is in flight at the end.
ENDING_S = 120
# Room for the answers in shared memory: detections take some 10 kB an image.
OUTPUT_SHM_BYTES_PER_IMAGE = 65536


@dataclass(frozen=True)
class Target:
    """A server to measure.

    Attributes:
        grpc_url: host and port.
        metrics_url: of its Prometheus metrics; None where perf_analyzer is to leave them alone.
    """

    grpc_url: str
    metrics_url: str | None


@dataclass(frozen=True)
class PerfAnalyzer:
    """A perf_analyzer that runs on this machine.

    Attributes:
        program: the file.
        library_path: folders the dynamic linker must search for it.
    """

    program: Path
    library_path: tuple[Path, ...] = ()

    def environment(self) -> dict[str, str]:
        """Return the environment of the program."""
        found = [*map(str, self.library_path), os.environ.get("LD_LIBRARY_PATH", "")]
        return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(filter(None, found))}

    def measure(
        self, target: Target, load: Load, data_file: Path, csv_file: Path, *, window_ms: int = 1000
    ) -> Measurement:
        """Put a load on a server for three windows and return what came of it.

        Where no request ended in a window, longer windows are tried.

        Args:
            target: the server.
            load: what to send.
            data_file: the images; see :mod:`builder.benchmark.input_data`.
            csv_file: where perf_analyzer's own table is kept.
            window_ms: length of a window.

        Raises:
            BenchmarkError: perf_analyzer failed, with what it said.
        """
        csv_file.parent.mkdir(parents=True, exist_ok=True)
        csv_file.unlink(missing_ok=True)
        for factor in LONGER_WINDOWS:
            command = self.command(target, load, data_file, csv_file, window_ms * factor)
            code, said = self._run(command, ENDING_S + 10 * WINDOWS * window_ms * factor / 1e3)
            if code == 0 and csv_file.is_file():
                return read_measurements(csv_file)[0]
            if not (UNSTABLE.search(said) or BUSY.search(said)):
                break
        raise BenchmarkError(
            f"perf_analyzer could not measure {load.label} ({reason(said)}): check the server's "
            "log, or give it longer windows with --window-ms"
        )

    def command(
        self, target: Target, load: Load, data_file: Path, csv_file: Path, window_ms: int
    ) -> list[str]:
        """Return the command line that puts a load on a server for three windows."""
        return [str(self.program), *_arguments(target, load, data_file, csv_file, window_ms)]

    def _run(self, command: Sequence[str], timeout_s: float) -> tuple[int, str]:
        try:
            ended = subprocess.run(
                command,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=timeout_s,
            )
        except OSError as error:
            raise PerfAnalyzerMissingError(
                f"{self.program} cannot be run ({error.strerror}): {WAY_OUT}"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise BenchmarkError(
                f"perf_analyzer did not end within {timeout_s:.0f} s, as when a server leaves "
                "requests unanswered: check the server's log"
            ) from error
        return ended.returncode, ended.stdout + ended.stderr


def find_perf_analyzer(named: Path | None = None) -> PerfAnalyzer:
    """Find perf_analyzer: as named, on PATH, in the environment, or where `make bench` puts it.

    Raises:
        PerfAnalyzerMissingError: there is none, or it lacks libraries.
    """
    if named is not None:
        candidates = [named]
    else:
        on_path = shutil.which(PROGRAM)
        candidates = [Path(on_path)] if on_path else []
        candidates += [Path(sys.prefix) / "bin" / PROGRAM, PRIVATE_FOLDER / PROGRAM]
    program = next((file for file in candidates if os.access(file, os.X_OK)), None)
    if program is None or not program.is_file():
        where = f"at {named}" if named else "on PATH or in this environment"
        raise PerfAnalyzerMissingError(f"there is no perf_analyzer {where}: {WAY_OUT}")
    found = PerfAnalyzer(program, _library_path(program))
    _check_libraries(found)
    return found


def _library_path(program: Path) -> tuple[Path, ...]:
    folder = program.parent / "lib"
    if not folder.is_dir() or program.parent != PRIVATE_FOLDER:
        return ()
    # What lies there are links into a wheel, whose libraries need each other.
    others = {link.resolve().parent for link in folder.iterdir()}
    return (folder, *sorted(others))


def _check_libraries(analyzer: PerfAnalyzer) -> None:
    listed = subprocess.run(
        ["ldd", str(analyzer.program)],
        env=analyzer.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    said = listed.stdout + listed.stderr
    missing = re.findall(r"^\s*(\S+) => not found", said, re.MULTILINE)
    missing += sorted(set(re.findall(r"version `(GLIBC_[\d.]+)' not found", said)))
    if missing:
        raise PerfAnalyzerMissingError(
            f"the perf_analyzer at {analyzer.program} cannot run here, it lacks "
            f"{', '.join(missing)}: {WAY_OUT}"
        )


def _arguments(
    target: Target, load: Load, data_file: Path, csv_file: Path, window_ms: int
) -> list[str]:
    arguments = ["-m", load.model, "-u", target.grpc_url, "-i", "grpc"]
    arguments += ["--input-data", str(data_file), "-b", str(load.batch)]
    if load.rate is None:
        arguments += ["--concurrency-range", str(load.concurrency)]
    else:
        arguments += ["--request-rate-range", f"{load.rate:g}"]
    if load.shared_memory:
        room = OUTPUT_SHM_BYTES_PER_IMAGE * load.batch
        arguments += ["--shared-memory", "system", "--output-shared-memory-size", str(room)]
    arguments += ["--measurement-interval", str(window_ms), "--max-trials", str(WINDOWS)]
    arguments += ["--stability-percentage", str(ANY_SPREAD_PERCENT)]
    arguments += ["-f", str(csv_file), "--verbose-csv"]
    if target.metrics_url is not None:
        arguments += ["--collect-metrics", "--metrics-url", target.metrics_url]
    return arguments


def reason(said: str) -> str:
    """Return what perf_analyzer gave as its reason among all it said."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith("WARNING")]
    return told[-1] if told else "it said nothing"
