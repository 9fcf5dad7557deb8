"""What a pipeline is made of, and what follows from it for all of its models."""

from __future__ import annotations

from dataclasses import dataclass

from builder.detectors.detector import Detector
from builder.detectors.frame_shapes import takes_rectangles
from builder.network_graph import candidate_rows, in_graph_nms
from builder.pipelines.pipeline_models import models_of
from builder.settings import BuildSettings, Nms, Runtime, Shape
from builder.trial.load_wait import wait_after
from builder.trial.network_trial import Trial
from thin_client.contract import ModelNames, Tensor, model_names, resolve_shape

# A dim that may be anything, in Triton's configs.
OPEN = -1


@dataclass(frozen=True)
class PipelineSpec:
    """One pipeline.

    Attributes:
        settings: as asked for, nothing left to default.
        detector: what the network is made of.
        version: of the pipeline; all its models bear the same.
        trial: what the network did when it was tried; None where it was not.
    """

    settings: BuildSettings
    detector: Detector
    version: int = 1
    trial: Trial | None = None

    @property
    def names(self) -> ModelNames:
        """Triton's names of the models."""
        return model_names(self.settings.name)

    @property
    def models(self) -> tuple[str, ...]:
        """The names of those that it has, the public ones first, steps after what needs them."""
        return models_of(self.settings.name, streams=self.settings.stream)

    @property
    def max_batch(self) -> int:
        """The largest batch: what was asked for, or what the graph holds if that is less.

        A graph that looks at the first images of a batch only can hold any in Python, where each
        frame is run by itself.
        """
        held = [self.detector.fixed_batch]
        if self.trial is not None and self.settings.runtime is not Runtime.PYTHON:
            held.append(self.trial.images_seen)
        return min([self.settings.max_batch, *(batch for batch in held if batch is not None)])

    @property
    def load_wait_s(self) -> int:
        """Seconds that whoever starts it waits for it to load."""
        return wait_after(self.trial, self.max_batch)

    @property
    def max_det(self) -> int:
        """Rows of the outputs."""
        assert self.settings.max_det is not None  # noqa: S101 - BuildSettings.with_defaults
        return self.settings.max_det

    @property
    def nms_in(self) -> str:
        """Where overlaps are suppressed: "python", "graph", or "none" if the head leaves none."""
        if self.detector.finished:
            return "none"
        in_graph = in_graph_nms(self.detector, self.settings)
        return Nms.GRAPH.value if in_graph else Nms.PYTHON.value

    @property
    def shape(self) -> Shape:
        """Of the frames."""
        rectangles = takes_rectangles(self.detector, self.settings)
        return Shape.RECT if rectangles else Shape.SQUARE

    def dims(self, tensor: Tensor) -> tuple[int, ...]:
        """Return the dims of a contract tensor in this pipeline."""
        whole = self.shape is Shape.SQUARE
        return resolve_shape(
            tensor,
            width=self.detector.width if whole else OPEN,
            height=self.detector.height if whole else OPEN,
            candidates=candidate_rows(self.detector, self.settings),
            max_det=self.max_det,
        )
