"""How long to wait for a network to load, from how long it took when it was tried."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.trial.network_trial import Trial

# Enough for every network of a usual size on a usual machine. Files of these are the same wherever
# they are built.
LEAST_WAIT_S = 120
# The machine that serves may be slower than the one that built, and load everything at once.
TIMES_MEASURED = 10


def wait_after(trial: Trial | None, max_batch: int) -> int:
    """Return the seconds to wait for a network: ten times what it took when it was tried, or 120.

    Args:
        trial: of the network; None where it was not tried.
        max_batch: images of the largest batch, which the network may have to run when it starts.
    """
    if trial is None:
        return LEAST_WAIT_S
    measured_s = trial.load_s + trial.frame_s * max_batch
    return max(LEAST_WAIT_S, math.ceil(TIMES_MEASURED * measured_s))
