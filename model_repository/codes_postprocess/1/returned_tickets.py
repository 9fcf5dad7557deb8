"""Which frames came through the network, told to the processes that made them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ticket_memory import RETURNED, open_memory

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
        number = int(tickets[-1, -1])
        memory = self.memory_of(tickets[-1])
        # Two batches of the network may end in the other order.
        if memory is not None and number > memory[RETURNED]:
            memory[RETURNED] = number

    def memory_of(self, ticket: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Return the words of the process that a ticket, int64 ``[4]``, is of; None if it is gone.

        See :mod:`ticket_memory`.
        """
        pid, file, serial, _ = map(int, ticket)
        process = (pid, file, serial)
        if process not in self._memories:
            if len(self._memories) >= KNOWN_PROCESSES:
                del self._memories[next(iter(self._memories))]
            self._memories[process] = open_memory(*process)
        return self._memories[process]
