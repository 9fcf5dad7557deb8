"""What the stub networks find in every frame: 20 objects, each with 5 overlapping candidates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS, ROWS = 5, 4
CANDIDATES_OF_OBJECT = 5
# Candidates of one object are so far apart: at 640x640 they overlap by 0.8 and more.
STEP_PX = 1.0
BEST_SCORE, SCORE_STEP = 0.9, 0.005


def fixed_candidates(width: int, height: int, classes: int) -> NDArray[np.float32]:
    """Return float32 ``[100, 6]``: x1, y1, x2, y2 in network pixels, score, class; best first."""
    cell_width, cell_height = width / COLUMNS, height / ROWS
    rows = []
    for index in range(COLUMNS * ROWS * CANDIDATES_OF_OBJECT):
        which, cell = divmod(index, COLUMNS * ROWS)
        left = cell % COLUMNS * cell_width + cell_width / 4 + which * STEP_PX
        top = cell // COLUMNS * cell_height + cell_height / 4 + which * STEP_PX
        box = (left, top, left + cell_width / 2, top + cell_height / 2)
        rows.append((*box, BEST_SCORE - index * SCORE_STEP, cell % classes))
    return np.array(rows, np.float32)
