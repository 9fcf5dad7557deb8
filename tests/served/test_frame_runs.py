"""The frames of several requests on all cores: whose are run, and on how many."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from frame_runs import FrameRuns

CORES = 4
SHAPE = (2, 2, 3)
BROKEN = 13


class Network:
    """Answers each frame with its first value, and keeps how it was run.

    A frame alone takes a quarter of the time of one on a core of its own.
    """

    gain = 4.0

    def __init__(self) -> None:
        self.alone: list[int] = []
        self.apart: list[int] = []
        self._time = threading.Event()

    def infer(self, frames: NDArray[np.uint8], *, alone: bool) -> NDArray[np.float32]:
        value = int(frames[0, 0, 0, 0])
        (self.alone if alone else self.apart).append(value)
        self._time.wait(0.02 if alone else 0.08)
        if value == BROKEN:
            raise RuntimeError("of the runtime")
        return np.full((1, 5, 6), value, np.float32)


def frames(*values: int) -> NDArray[np.uint8]:
    """One request's frames."""
    made: NDArray[np.uint8] = np.stack([np.full(SHAPE, value, np.uint8) for value in values])
    return made


def waited_for() -> bool:
    return False


def given_up() -> bool:
    return True


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def runs(network: Network) -> Iterator[FrameRuns]:
    running = FrameRuns(network, CORES)  # type: ignore[arg-type]
    yield running
    running.close()


def values(outcome: object) -> list[int]:
    assert isinstance(outcome, np.ndarray)
    assert outcome.shape[1:] == (5, 6)
    return [int(row[0, 0]) for row in outcome]


def test_each_request_gets_the_candidates_of_its_own_frames(runs: FrameRuns) -> None:
    found = runs.run([frames(1, 2, 3), frames(4), frames(5, 6)], [waited_for] * 3)
    assert [values(each) for each in found] == [[1, 2, 3], [4], [5, 6]]


def test_many_have_a_core_each_and_those_left_over_all_cores(
    runs: FrameRuns, network: Network
) -> None:
    runs.run([frames(*range(CORES + 1))], [waited_for])
    assert sorted(network.apart) == list(range(CORES))
    assert network.alone == [CORES]


def test_a_frame_that_comes_alone_has_all_cores(runs: FrameRuns, network: Network) -> None:
    runs.run([frames(7)], [waited_for])
    assert (network.alone, network.apart) == ([7], [])


def test_what_nobody_waits_for_is_not_run(runs: FrameRuns, network: Network) -> None:
    found = runs.run([frames(1, 2), frames(3, 4), frames(5)], [waited_for, given_up, waited_for])
    assert [found[0] is None, found[1] is None, found[2] is None] == [False, True, False]
    assert sorted(network.apart + network.alone) == [1, 2, 5]


def test_a_request_that_is_given_up_while_others_run_is_not_begun(
    runs: FrameRuns, network: Network
) -> None:
    # The second is asked for when its first frame is due, after the first has run.
    found = runs.run(
        [frames(*range(CORES)), frames(*range(100, 100 + CORES))],
        [waited_for, lambda: bool(network.apart)],
    )
    assert values(found[0]) == list(range(CORES))
    assert found[1] is None
    assert all(value < CORES for value in network.apart + network.alone)


def test_a_frame_that_fails_costs_its_own_request_only(runs: FrameRuns) -> None:
    found = runs.run([frames(1), frames(2, BROKEN), frames(3)], [waited_for] * 3)
    assert values(found[0]) == [1]
    assert isinstance(found[1], RuntimeError)
    assert values(found[2]) == [3]


def test_nothing_to_run_is_no_fault(runs: FrameRuns) -> None:
    assert runs.run([], []) == []
