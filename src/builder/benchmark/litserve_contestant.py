"""LitServe as a contestant: the best settings searched, then a server that rounds measure."""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from builder.benchmark.comparison import Setup, Ultralytics
from builder.benchmark.litserve import LitServe, LitServeSettings, litserve
from builder.benchmark.peer_search import search
from builder.benchmark.real_network import takes_rectangles
from builder.benchmark.same_boxes import Boxes
from builder.benchmark.sample import Sample
from builder.errors import BenchmarkError

NEEDED = ("ultralytics", "litserve", "python_multipart")
LOOK_FOR = (
    "import importlib.util as u, sys; print(*[n for n in sys.argv[1:] if not u.find_spec(n)])"
)


@dataclass
class LitServeContestant:
    """A running LitServe and what it is sent.

    Attributes:
        server: that runs.
        images: encoded.
        in_flight: requests at a time.
        seconds: of each measurement.
        words: its settings, and those that were tried.
    """

    server: LitServe
    images: Sequence[bytes]
    in_flight: int
    seconds: float
    words: tuple[str, ...]
    _client_cpu_ms: list[float] = field(default_factory=list)

    def measure(self) -> Sample:
        """Measure it once."""
        measured, cpu_ms = self.server.measure(
            self.images, in_flight=self.in_flight, seconds=self.seconds
        )
        self._client_cpu_ms.append(measured.client_cpu_ms)
        return Sample(measured.images_per_s, cpu_ms, measured.p50_ms)

    @property
    def client_cpu_ms(self) -> float:
        """CPU time that the load generator took for an image, median of the measurements."""
        return statistics.median(self._client_cpu_ms)

    def boxes(self) -> list[Boxes]:
        """Return what it finds in each image."""
        return self.server.boxes(self.images)


def missing_packages(python: Path) -> str:
    """Return which of the packages that LitServe needs a Python lacks; nothing if it has all.

    Raises:
        BenchmarkError: it is no Python.
    """
    try:
        found = subprocess.run(
            [str(python), "-c", LOOK_FOR, *NEEDED], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchmarkError(
            f"{python} is no Python interpreter ({error}): check --ultralytics"
        ) from error
    return found.stdout.strip()


def best_litserve(
    stack: ExitStack,
    setup: Setup,
    ultralytics: Ultralytics,
    images: Sequence[bytes],
    in_flight: int,
) -> LitServeContestant:
    """Search its settings, start it with the best ones until the stack is left, and return it.

    Raises:
        BenchmarkError: it runs with none.
    """
    seconds = setup.loops.seconds
    serve = partial(_serve, setup, ultralytics.python)

    def images_per_s(settings: LitServeSettings) -> float:
        setup.progress(f"LitServe: {settings.words}")
        with serve(settings) as server:
            measured, _ = server.measure(images, in_flight=in_flight, seconds=seconds)
        return measured.images_per_s

    best, tried = search(images_per_s, ultralytics.models, setup.cores)
    shape = "rectangles" if takes_rectangles(best.model) else "one size"
    words = [f"LitServe, best of {len(tried)} settings: {best.words}, {shape}"]
    words += [
        f"LitServe, tried: {settings.words}: "
        + (f"{rate:.1f} images/s" if isinstance(rate, float) else str(rate).splitlines()[0])
        for settings, rate in tried.items()
    ]
    server = stack.enter_context(serve(best))
    return LitServeContestant(server, images, in_flight, seconds, tuple(words))


def _serve(
    setup: Setup, python: Path, settings: LitServeSettings
) -> AbstractContextManager[LitServe]:
    square = not takes_rectangles(settings.model)
    return litserve(
        python, setup.baselines / "peers", settings, setup.out / "litserve.log", square=square
    )
