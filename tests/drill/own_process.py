"""Clients in a process of their own, whose clocks must not wait for those that measure."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
from collections.abc import Callable
from typing import Any, Generic, TypeVar

START_S = 30.0
READY = "ready"

Result = TypeVar("Result")


class OwnProcess(Generic[Result]):
    """Runs a function in a new process while a block lasts.

    Args:
        function: is called with a pipe and the arguments; sends ``READY`` and then its result.
        arguments: of the function.
        patience_s: until its result must be there.
    """

    def __init__(self, function: Callable[..., None], *arguments: Any, patience_s: float) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=function, args=(there, *arguments))
        self._patience_s = patience_s

    def __enter__(self) -> OwnProcess[Result]:
        self._process.start()
        assert self._here.poll(START_S), "the clients' process did not start"
        assert self._here.recv() == READY
        return self

    def __exit__(self, *_: object) -> None:
        self._process.join(START_S)
        if self._process.is_alive():
            self._process.kill()

    def result(self) -> Result:
        """Wait for its end and return its result."""
        assert self._here.poll(self._patience_s), "the clients' process did not end"
        result: Result = self._here.recv()
        return result
