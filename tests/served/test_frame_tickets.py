"""Frames on their way through the network are counted, whatever becomes of them."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from returned_tickets import ReturnedTickets

LIMIT = 4


class Network:
    """What frames go through, as far as this process may ask it."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.broken = False

    def wait_in_line(self) -> None:
        self.asked.set()
        if self.broken:
            raise OSError


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    triton = ModuleType("triton_python_backend_utils")
    said: list[str] = []
    triton.Logger = SimpleNamespace(log_warn=said.append)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, triton.__name__, triton)
    yield said
    for name in ("frame_tickets", "network_calls"):
        sys.modules.pop(name, None)


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def tickets(warnings: list[str], network: Network) -> Any:
    from frame_tickets import FrameTickets  # noqa: PLC0415 - Triton's side is put in place before

    assert not warnings
    return FrameTickets(LIMIT, network.wait_in_line)


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


def test_the_next_wait_until_there_is_room(tickets: Any, waiting: ThreadPoolExecutor) -> None:
    given = tickets.take(LIMIT)
    back = ReturnedTickets()
    next_ones = waiting.submit(tickets.take, 2)
    back.give_back(given[:1])
    assert not done_soon(next_ones)
    back.give_back(given[1:2])
    assert next_ones.result(5)[0][3] == LIMIT + 1


def test_a_batch_beyond_the_limit_goes_alone(tickets: Any, waiting: ThreadPoolExecutor) -> None:
    given = tickets.take(1)
    large = waiting.submit(tickets.take, 2 * LIMIT)
    assert not done_soon(large)
    ReturnedTickets().give_back(given)
    assert len(large.result(5)) == 2 * LIMIT


def test_frames_that_never_come_are_asked_for(tickets: Any, network: Network) -> None:
    ReturnedTickets().give_back(tickets.take(1))
    # Their requests were cancelled.
    tickets.take(LIMIT)
    tickets.take(1)
    assert network.asked.is_set()
    assert tickets.in_flight == 1


def test_a_network_that_fails_holds_up_nothing(tickets: Any, network: Network) -> None:
    network.broken = True
    for _ in range(3):
        tickets.take(LIMIT)
    assert tickets.in_flight == 3 * LIMIT


def test_where_no_ticket_ever_comes_back_nothing_waits(
    tickets: Any, network: Network, warnings: list[str]
) -> None:
    tickets.take(LIMIT)
    tickets.take(LIMIT)
    assert len(warnings) == 1
    network.asked.clear()
    late = tickets.take(LIMIT)
    assert not network.asked.is_set()
    # It begins when one does.
    ReturnedTickets().give_back(late)
    tickets.take(LIMIT)
    tickets.take(1)
    assert network.asked.is_set()


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
    warnings: list[str], processes: int, frames: int
) -> None:
    from frame_tickets import frames_in_flight  # noqa: PLC0415 - likewise

    assert frames_in_flight(6, processes) == frames
    assert not warnings


def done_soon(future: Future[Any]) -> bool:
    """Whether it was done within some looks; none of the waits here ends by itself."""
    threading.Event().wait(0.1)
    return bool(future.done())
