"""The faults, one a file, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.drill.faults import (
    abandoned,
    access,
    damaged_images,
    dead_models,
    dead_triton,
    million,
    overload,
    shortages,
    sigterm,
    silent_clients,
)
from tests.drill.outcome import Outcome
from tests.drill.scale import Scale

Fault = Callable[[Scale, Path], Outcome]

FAULTS: dict[str, Fault] = {
    "damaged-images": damaged_images.run,
    "dead-models": dead_models.run,
    "dead-triton": dead_triton.run,
    "overload": overload.run,
    "silent-clients": silent_clients.run,
    "shortages": shortages.run,
    "sigterm": sigterm.run,
    "million": million.run,
    "access": access.run,
    "abandoned": abandoned.run,
}
