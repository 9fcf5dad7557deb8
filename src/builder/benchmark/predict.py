"""Ultralytics' ``predict`` in a process of its own, with the fastest file of the detector."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from builder.benchmark.comparison import Setup, Ultralytics
from builder.benchmark.real_network import takes_rectangles
from builder.benchmark.sample import Sample

NO_ULTRALYTICS = "name a Python that has ultralytics with --ultralytics"


@dataclass(frozen=True)
class Predict:
    """A contestant.

    Attributes:
        setup: of the comparison.
        python: that has ultralytics.
        model: the detector's file.
        images: a folder of them.
        answers: a file for what is found in them, or None.
    """

    setup: Setup
    python: Path
    model: Path
    images: Path
    answers: Path | None = None

    def measure(self) -> Sample:
        """Measure it once."""
        return self.setup.loops.ultralytics(
            self.python,
            self.model,
            self.images,
            square=not takes_rectangles(self.model),
            answers=self.answers,
        )

    @property
    def words(self) -> str:
        """What it is given, for a report."""
        shape = "rectangles" if takes_rectangles(self.model) else "one size"
        return f"{self.model.name}, {shape}"


def fastest_predict(
    setup: Setup, ultralytics: Ultralytics, images: Path, answers: Path | None = None
) -> Predict:
    """Measure each file of the detector once and return the contestant with the fastest."""
    tried = [
        Predict(setup, ultralytics.python, model, images, answers) for model in ultralytics.models
    ]
    if len(tried) == 1:
        return tried[0]
    setup.progress("ultralytics predict: which file is the fastest")
    return max(tried, key=lambda each: each.measure().images_per_s)
