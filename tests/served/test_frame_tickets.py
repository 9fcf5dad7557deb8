"""Frames on their way through the network are counted, whatever becomes of them."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from returned_tickets import ReturnedTickets

LIMIT = 4
TRITON = "triton_python_backend_utils"


class Network:
    """What frames go through, as far as this process may ask it."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.questions = 0
        self.broken = False
        self._free = threading.Event()
        self._free.set()

    def question(self) -> None:
        self.questions += 1
        self.asked.set()
        assert self._free.wait(10)
        if self.broken:
            raise OSError

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """It has so much to do that it comes to no question."""
        self._free.clear()
        try:
            yield
        finally:
            self._free.set()


@pytest.fixture
def triton(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, TRITON, ModuleType(TRITON))
    yield
    for name in ("frame_tickets", "network_calls"):
        sys.modules.pop(name, None)


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def tickets(triton: None, network: Network) -> Any:
    from frame_tickets import FrameTickets  # noqa: PLC0415 - Triton's side is put in place before

    return FrameTickets(LIMIT, network.question)


@pytest.fixture
def waiting() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as threads:
        yield threads


def test_tickets_say_whose_frames_they_are_and_which(tickets: Any) -> None:
    first, second = tickets.take(2), tickets.take(1)
    assert first.dtype == np.int64
    assert first.shape == (2, 4)
    assert {os.getpid()} == {int(row[0]) for row in (*first, *second)}
    assert [int(row[3]) for row in (*first, *second)] == [1, 2, 3]
    assert tickets.in_flight == 3


def test_a_frame_that_comes_counts_for_those_before_it(tickets: Any) -> None:
    given = tickets.take(LIMIT)
    back = ReturnedTickets()
    back.give_back(given[2:3])
    assert tickets.in_flight == 1
    # A batch that was overtaken takes nothing back.
    back.give_back(given[:1])
    assert tickets.in_flight == 1


def test_the_next_wait_until_there_is_room(
    tickets: Any, network: Network, waiting: ThreadPoolExecutor
) -> None:
    given = tickets.take(LIMIT)
    back = ReturnedTickets()
    with network.held_up():
        next_ones = waiting.submit(tickets.take, 2)
        back.give_back(given[:1])
        assert not done_soon(next_ones)
        back.give_back(given[1:2])
        assert next_ones.result(5)[0][3] == LIMIT + 1


def test_a_batch_beyond_the_limit_goes_alone(
    tickets: Any, network: Network, waiting: ThreadPoolExecutor
) -> None:
    given = tickets.take(1)
    with network.held_up():
        large = waiting.submit(tickets.take, 2 * LIMIT)
        assert not done_soon(large)
        ReturnedTickets().give_back(given)
        assert len(large.result(5)) == 2 * LIMIT


def test_frames_that_never_come_are_asked_for(tickets: Any, network: Network) -> None:
    ReturnedTickets().give_back(tickets.take(1))
    # Their requests were cancelled.
    tickets.take(LIMIT)
    tickets.take(1)
    assert network.questions == 1
    assert tickets.in_flight == 1


def test_room_is_taken_while_the_network_has_not_come_to_the_question(
    tickets: Any, network: Network, waiting: ThreadPoolExecutor
) -> None:
    given = tickets.take(LIMIT)
    with network.held_up():
        next_ones = waiting.submit(tickets.take, 1)
        assert network.asked.wait(5)
        assert not done_soon(next_ones)
        ReturnedTickets().give_back(given)
        assert next_ones.result(5)[0][3] == LIMIT + 1
    assert network.questions == 1


def test_an_answer_says_nothing_of_frames_that_were_handed_on_after_the_question(
    tickets: Any, network: Network, waiting: ThreadPoolExecutor
) -> None:
    given = tickets.take(LIMIT)
    with network.held_up():
        later = waiting.submit(tickets.take, 1)
        assert network.asked.wait(5)
        ReturnedTickets().give_back(given)
        later.result(5)
    still_later = waiting.submit(tickets.take, LIMIT)
    # The answer to the first question is there; the frame after it has to be asked for again.
    still_later.result(5)
    assert network.questions == 2


def test_nobody_is_asked_before_a_frame_is_late_unless_those_before_were_lost(
    tickets: Any, network: Network, waiting: ThreadPoolExecutor
) -> None:
    usual_s = 3600.0
    back = ReturnedTickets()
    tickets._usual_s = usual_s
    given = tickets.take(LIMIT)
    in_time = waiting.submit(tickets.take, LIMIT)
    assert not done_soon(in_time)
    assert network.questions == 0
    back.give_back(given)
    in_time.result(5)
    # These are lost, and would be late in an hour.
    tickets._usual_s = 0.0
    tickets.take(LIMIT)
    tickets._usual_s = usual_s
    for _ in range(3):
        given = tickets.take(LIMIT)
    assert network.questions == 4
    # Once frames come again, there is time.
    back.give_back(given)
    given = tickets.take(LIMIT)
    in_time = waiting.submit(tickets.take, LIMIT)
    assert not done_soon(in_time)
    back.give_back(given)
    in_time.result(5)
    assert network.questions == 4


def test_a_network_that_fails_holds_up_nothing(tickets: Any, network: Network) -> None:
    network.broken = True
    for _ in range(3):
        tickets.take(LIMIT)
    assert tickets.in_flight == 3 * LIMIT


def test_where_no_ticket_ever_comes_back_the_network_is_asked_each_time(
    tickets: Any, network: Network
) -> None:
    for _ in range(3):
        tickets.take(LIMIT)
    assert network.questions == 2
    assert tickets.in_flight == LIMIT


def test_tickets_of_nobody_are_let_be(tickets: Any) -> None:
    given = tickets.take(1)
    back = ReturnedTickets()
    for column, value in ((0, 2**22 + 1), (1, 2**20), (2, 1)):
        foreign: NDArray[np.int64] = given.copy()
        foreign[:, column] = value
        back.give_back(foreign)
    assert tickets.in_flight == 1


def test_a_ticket_that_somebody_made_up_lets_no_more_go(tickets: Any) -> None:
    forged: NDArray[np.int64] = tickets.take(LIMIT).copy()
    forged[:, 3] = 2**40
    back = ReturnedTickets()
    back.give_back(forged)
    assert tickets.in_flight == LIMIT
    # The next true one counts.
    forged[:, 3] = LIMIT
    back.give_back(forged)
    assert tickets.in_flight == 0


@pytest.mark.parametrize(("processes", "frames"), [(1, 12), (2, 6), (3, 6), (8, 6)])
def test_two_batches_are_on_their_way_and_no_process_has_to_split_its_own(
    triton: None, processes: int, frames: int
) -> None:
    from frame_tickets import frames_in_flight  # noqa: PLC0415 - likewise

    assert frames_in_flight(6, processes) == frames


def done_soon(future: Future[Any]) -> bool:
    """Whether it was done within some looks; none of the waits here ends by itself."""
    threading.Event().wait(0.1)
    return bool(future.done())
