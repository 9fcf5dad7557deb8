"""A load that goes on while its starter looks at the server."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from builder.benchmark.load import Load, Measurement
from builder.benchmark.perf_analyzer import WAY_OUT, WINDOWS, PerfAnalyzer, Target, reason
from builder.benchmark.perf_csv import read_measurements
from builder.errors import BenchmarkError, PerfAnalyzerMissingError

# perf_analyzer waits for so many times the length of a window, to have one full of whole requests
# (measured: three windows of 10 s take 36 s).
WAITED_PER_WINDOW = 1.2


class LongLoad:
    """A running perf_analyzer.

    Args:
        process: it.
        said: the file it writes to.
        load: what it sends.
        csv_file: where its table will be.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], said: IO[bytes], load: Load, csv_file: Path
    ) -> None:
        self._process = process
        self._said = said
        self._load = load
        self._csv_file = csv_file

    @property
    def ended(self) -> bool:
        """Whether it sends no more."""
        return self._process.poll() is not None

    def result(self) -> Measurement:
        """Wait for its end and return what it measured.

        Raises:
            BenchmarkError: it failed, with what it said.
        """
        if self._process.wait() == 0 and self._csv_file.is_file():
            return read_measurements(self._csv_file)[0]
        self._said.seek(0)
        why = reason(self._said.read().decode(errors="replace"))
        raise BenchmarkError(
            f"perf_analyzer could not keep up {self._load.label} ({why}): check the server's log"
        )


@contextmanager
def long_load(
    analyzer: PerfAnalyzer,
    target: Target,
    load: Load,
    data_file: Path,
    csv_file: Path,
    *,
    seconds: float,
) -> Iterator[LongLoad]:
    """Put a load on a server without a pause for so long; on the way out, end it.

    perf_analyzer's three windows share the time, so that one run of it is enough.

    Raises:
        PerfAnalyzerMissingError: it cannot be run.
    """
    csv_file.unlink(missing_ok=True)
    window_ms = round(seconds * 1e3 / WINDOWS / WAITED_PER_WINDOW)
    # A pipe that nobody reads would fill.
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                analyzer.command(target, load, data_file, csv_file, window_ms),
                env=analyzer.environment(),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            raise PerfAnalyzerMissingError(
                f"{analyzer.program} cannot be run ({error.strerror}): {WAY_OUT}"
            ) from error
        with process:
            try:
                yield LongLoad(process, said, load, csv_file)
            finally:
                process.kill()
