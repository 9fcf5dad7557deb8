"""How many frames of one process are on their way through the network, and when the next may go.

Frames are made faster than most networks take them. Triton could bound the network's queue, but
with any bound on it Triton 24.10 starts nothing for a request that meets an empty queue and a busy
network until the next one comes, or half a second has passed. So the process that makes the frames
holds the next ones back: what waits for it then waits in its own queue, which is bounded.

It numbers its frames. The numbers travel with them, as the tensor :data:`contract.TICKET`, past the
network to the postprocess step, which writes the highest that came into memory that the two
processes share. A frame is not counted any more when a later one of its process has come, so those
whose requests failed or were cancelled need nobody to return them.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import numpy as np
import triton_python_backend_utils as pb_utils
from contract import TICKET, resolve_shape

from frames import frame_format
from network_calls import NetworkCaller
from ticket_memory import make_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

LOOK_S = 0.002
# No frame came for so long: perhaps none will, because all requests were cancelled. To ask costs a
# run of the network, which should not be as frequent as its batches are.
ASK_AFTER_S = 2.0
# From the network's answer to its arrival at the postprocess step.
RETURN_S = 0.1


class FrameTickets:
    """Numbers the frames of this process and waits while too many are on their way.

    Args:
        limit: frames; more in one call go when no others are on their way.
        wait_in_line: returns when the network has run what it was given until now; any exception
            says that this cannot be known.
    """

    def __init__(self, limit: int, wait_in_line: Callable[[], None]) -> None:
        self._limit = limit
        self._wait_in_line = wait_in_line
        self._memory = make_memory()
        self._issued = 0
        self._passed = 0
        self._counting = True

    @property
    def in_flight(self) -> int:
        """Frames that have tickets and did not come to the postprocess step yet."""
        return self._issued - max(self._last_returned(), self._passed)

    def take(self, frames: int) -> NDArray[np.int64]:
        """Return the tickets of frames that may go now, int64 ``[frames, 4]``; wait until then."""
        if frames and (self._counting or self._memory.returned[0]):
            self._counting = True
            self._wait_for_room(frames)
        tickets = np.empty((frames, *resolve_shape(TICKET)), np.int64)
        tickets[:, :3] = os.getpid(), self._memory.file, self._memory.serial
        tickets[:, 3] = np.arange(self._issued + 1, self._issued + frames + 1)
        self._issued += frames
        return tickets

    def _last_returned(self) -> int:
        """Return the highest ticket that came back, and forget one that was made up.

        Whoever reaches the server can call the postprocess step, with any ticket.
        """
        if self._memory.returned[0] > self._issued:
            self._memory.returned[0] = 0
        return int(self._memory.returned[0])

    def _wait_for_room(self, frames: int) -> None:
        seen, since = self.in_flight, time.monotonic()
        while self.in_flight > 0 and self._limit < self.in_flight + frames:
            time.sleep(LOOK_S)
            if self.in_flight != seen:
                seen, since = self.in_flight, time.monotonic()
            elif time.monotonic() - since >= ASK_AFTER_S:
                self._ask()
                return

    def _ask(self) -> None:
        """Learn from the network that nothing is on its way any more."""
        try:
            self._wait_in_line()
        except Exception:  # noqa: BLE001 - whatever it is, the next frames meet it and tell it
            return
        time.sleep(RETURN_S)
        self._passed = self._issued
        if not self._memory.returned[0]:
            # Not one frame has ever come: processes that may not open each other's files, say. To
            # wait for every batch in vain would be worse than not to count.
            self._counting = False
            pb_utils.Logger.log_warn(
                "frames on their way through the network are not bounded: no ticket came back"
            )


def frame_tickets_from_settings(
    settings: Mapping[str, str], args: Mapping[str, str]
) -> FrameTickets:
    """Return the tickets of a model's process.

    Args:
        settings: of its version.
        args: of its ``initialize``.
    """
    network = NetworkCaller(settings["network_model"], int(args["model_version"]))
    frame = frame_format(settings).shape
    config = json.loads(args["model_config"])
    limit = frames_in_flight(
        config["max_batch_size"], sum(group["count"] for group in config["instance_group"])
    )
    return FrameTickets(limit, lambda: network.wait_in_line(frame))


def frames_in_flight(max_batch: int, processes: int) -> int:
    """Return how many frames of each process are on their way at most.

    Those of all are two batches: one that the network runs, and one that it finds when it is done.
    Each process may have a whole one, or its own batches would have to be split.
    """
    return max(max_batch, -(-2 * max_batch // processes))
