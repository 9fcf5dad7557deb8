"""How many frames of one process are on their way through the network, and when the next may go.

Frames are made faster than most networks take them. Triton could bound the network's queue, but
with any bound on it Triton 24.10 starts nothing for a request that meets an empty queue and a busy
network until the next one comes, or half a second has passed. So the process that makes the frames
holds the next ones back: what waits for it then waits in its own queue, which is bounded.

It numbers its frames. The numbers travel with them, as the tensor :data:`contract.TICKET`, past the
network to the postprocess step, which writes the highest that came into memory that the two
processes share. A frame is not counted any more when a later one of its process has come.

Those whose requests failed or were cancelled never come. Triton takes a cancelled request from the
network's queue, and no model sees it any more. So whoever waits for room asks the network, which is
first in, first out: once it has taken the question, nothing that was handed on before is before it.
"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import TYPE_CHECKING

import numpy as np
from contract import TICKET, resolve_shape

from frames import frame_format
from metrics import Family
from network_calls import NetworkCaller
from network_share import PictureShare, picture_share
from ticket_memory import make_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

# Triton counts it as time of the step that makes the frames.
HELD_SECONDS = Family(
    "framewire_held_seconds_total",
    "Time that requests, with their frames made, were held back until the network had room",
)
LOOK_S = 0.002
# The network is asked when the next frame comes later than usual, by so much; and soon where those
# before did not come either.
LATER = 1.25
SOON_S = 0.02
# Of the longest wait that there was, what still counts as usual after another one.
FORGET = 0.9


class FrameTickets:
    """Numbers the frames of this process and waits while too many are on their way.

    Args:
        limit: frames; more in one call go when no others are on their way.
        question: returns when the network has taken what it was given until now; any exception
            says that this cannot be known.
        places: of streams in this process' memory.
        share: that pictures have of the network beside streams; None for frames of streams.

    Attributes:
        held_s: how long the frames of the last call were held back.
    """

    def __init__(
        self,
        limit: int,
        question: Callable[[], None],
        places: int = 0,
        share: PictureShare | None = None,
    ) -> None:
        self._share = share
        self._limit = limit
        self._question = question
        self._memory = make_memory(places)
        self._issued = 0
        # Of those that the network was known to have taken, the last.
        self._taken = 0
        self._usual_s = 0.0
        self._asked: _Asked | None = None
        self.held_s = 0.0

    @property
    def memory(self) -> NDArray[np.int64]:
        """The words of this process, see :mod:`ticket_memory`."""
        return self._memory.words

    def of_nobody(self) -> NDArray[np.int64]:
        """Return a ticket, int64 ``[4]``, of what is not counted and waits for no room."""
        return np.array([os.getpid(), self._memory.file, self._memory.serial, 0], np.int64)

    @property
    def in_flight(self) -> int:
        """Frames that have tickets, and that the network may not have taken."""
        return self._issued - max(self._last_returned(), self._taken)

    def take(self, frames: int) -> NDArray[np.int64]:
        """Return the tickets of frames that may go now, int64 ``[frames, 4]``; wait until then."""
        begun = time.monotonic()
        if frames:
            self._wait_for_room(frames)
            if self._share is not None:
                self._share.wait(frames)
        self.held_s = time.monotonic() - begun
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
        returned, since = self._last_returned(), time.monotonic()
        while self.in_flight > 0 and self._limit < self.in_flight + frames:
            time.sleep(LOOK_S)
            if self._share is not None:
                self._share.say_waiting()
            waited_s = time.monotonic() - since
            if self._last_returned() != returned:
                returned, since = self._last_returned(), time.monotonic()
                self._usual_s = max(waited_s, FORGET * self._usual_s)
            try:
                self._ask_when_late(waited_s)
            except Exception:  # noqa: BLE001 - whatever it is, the next frames meet it and tell it
                return

    def _ask_when_late(self, waited_s: float) -> None:
        """Ask, or hear the answer.

        Raises:
            Exception: whatever the question ended with.
        """
        if self._asked is None:
            lost = self._taken > self._last_returned()
            if waited_s >= SOON_S and (lost or waited_s >= LATER * self._usual_s):
                self._asked = _Asked(self._question, self._issued)
        elif self._asked.done:
            asked, self._asked = self._asked, None
            if asked.error is not None:
                raise asked.error
            self._taken = asked.issued


class _Asked:
    """A question under way, in a thread: frames may come back before the network comes to it.

    A thread of its own for each, which ends with the process: an answer that never comes must not
    keep it.
    """

    def __init__(self, question: Callable[[], None], issued: int) -> None:
        self.issued = issued
        self.done = False
        self.error: Exception | None = None
        threading.Thread(target=self._run, args=(question,), name="question", daemon=True).start()

    def _run(self, question: Callable[[], None]) -> None:
        try:
            question()
        except Exception as error:  # noqa: BLE001 - for whoever asked
            self.error = error
        self.done = True


def frame_tickets_from_settings(
    settings: Mapping[str, str], args: Mapping[str, str], places: int = 0
) -> FrameTickets:
    """Return the tickets of a model's process.

    Args:
        settings: of its version.
        args: of its ``initialize``.
        places: of streams; 0 for pictures.
    """
    network = NetworkCaller(
        settings["network_model"], int(args["model_version"]), float(settings["network_wait_s"])
    )
    # Only a network in Python knows a frame of no pixels for the question that it is.
    in_python = settings["network_runtime"] == "python"
    frame = (0, 0, 3) if in_python else frame_format(settings).shape
    config = json.loads(args["model_config"])
    limit = frames_in_flight(
        config["max_batch_size"], sum(group["count"] for group in config["instance_group"])
    )
    share = None if places else picture_share(settings, args)
    return FrameTickets(limit, lambda: network.wait_in_line(frame), places, share)


def frames_in_flight(max_batch: int, processes: int) -> int:
    """Return how many frames of each process are on their way at most.

    Those of all are two batches: one that the network runs, and one that it finds when it is done.
    Each process may have a whole one, or its own batches would have to be split.
    """
    return max(max_batch, -(-2 * max_batch // processes))
