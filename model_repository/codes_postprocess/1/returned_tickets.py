"""Which frames came through the network, told to the processes that made them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ticket_memory import open_memory

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# More than a server has at a time: processes are replaced when they die, or by a new version.
KNOWN_PROCESSES = 64


class ReturnedTickets:
    """See :mod:`frame_tickets`."""

    def __init__(self) -> None:
        self._memories: dict[tuple[int, int, int], NDArray[np.int64] | None] = {}

    def give_back(self, tickets: NDArray[np.int64]) -> None:
        """Tell a process that frames have come.

        Args:
            tickets: int64 ``[n, 4]`` of one request: of one process, and in order.
        """
        pid, file, serial, number = map(int, tickets[-1])
        process = (pid, file, serial)
        if process not in self._memories:
            if len(self._memories) >= KNOWN_PROCESSES:
                del self._memories[next(iter(self._memories))]
            self._memories[process] = open_memory(*process)
        returned = self._memories[process]
        # Two batches of the network may end in the other order.
        if returned is not None and number > returned[0]:
            returned[0] = number
