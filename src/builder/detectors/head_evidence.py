"""What speaks for one head or another: a graph's outputs, its operators and its metadata."""

from __future__ import annotations

from dataclasses import dataclass, replace

import onnx

from builder.detectors.graph_facts import Dims, box_operator, ends_in_top_k, uses_operator
from builder.detectors.heads import YOLO_STRIDES, grid_cells
from builder.detectors.other_tasks import picks_rows
from builder.trial.measured_outputs import measured_dims

# Feature maps of the published variants: the usual three, with a P6 or P2 level, and of tiny ones.
STRIDE_SETS = (YOLO_STRIDES, (8, 16, 32, 64), (4, 8, 16, 32), (16, 32), (8, 16, 32, 64, 128))
ANCHORS_PER_CELL = (1, 3)


@dataclass(frozen=True)
class Evidence:
    """What is known of a graph.

    Attributes:
        model: the detector as it came.
        width: of its input, in pixels.
        height: of its input, in pixels.
        outputs: dims of each, as far as they are known.
        num_labels: how many classes have names, where known.
        says_rows: whether its metadata say that it gives finished rows.
    """

    model: onnx.ModelProto
    width: int
    height: int
    outputs: list[Dims]
    num_labels: int | None
    says_rows: bool = False

    @property
    def picks_rows(self) -> bool:
        """Whether the graph itself picks detections, or its metadata say so."""
        return self.says_rows or picks_rows(self.model, ends_in_top_k=ends_in_top_k(self.model))

    @property
    def names(self) -> set[str]:
        """The outputs' names."""
        return {value.name for value in self.model.graph.output}

    def anchors(self, count: int | None) -> int | None:
        """Anchors per cell if so many boxes can be a grid's, else None."""
        for per_cell in ANCHORS_PER_CELL:
            grids = {per_cell * grid_cells(self.width, self.height, s) for s in STRIDE_SETS}
            if count in grids:
                return per_cell
        return None

    @property
    def fewest_anchors(self) -> int:
        """Anchors of the smallest grid: TopK must not ask for more than there are."""
        return min(grid_cells(self.width, self.height, strides) for strides in STRIDE_SETS)


def measured(evidence: Evidence) -> Evidence:
    """Return the evidence with what is open of the first output, the batch apart, found by a run.

    Nothing changes where nothing is open, or where nothing here can run the graph.
    """
    first = evidence.outputs[0]
    if first and None not in first[1:]:
        return evidence
    found = measured_dims(evidence.model, evidence.width, evidence.height)
    if found is None:
        return evidence
    model = evidence.model
    finds_rows = uses_operator(model, "NonMaxSuppression") or uses_operator(model, "NonZero")
    # A table that rows are written into has a size of its own; others are as long as it happens.
    if len(found[0]) == 3 and finds_rows and box_operator(model) != "ScatterND":
        found[0] = (found[0][0], None, found[0][2])
    return replace(evidence, outputs=found)
