"""A bounded number of requests in flight, results in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
)
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

__all__ = ["async_map_in_order", "map_in_order"]

T = TypeVar("T")
R = TypeVar("R")

_WAIT_S = 0.5


def map_in_order(
    call: Callable[[T], R], items: Iterable[T], in_flight: int
) -> Generator[tuple[T, Future[R]], None, None]:
    """Run ``call`` on each item in threads; yield items with their futures, in the items' order.

    An item is taken from ``items`` only when fewer than ``in_flight`` others are unfinished or
    undelivered, so memory stays bounded however slow the server or the consumer is. A result is
    delivered as soon as its turn comes, which with a live source is when the next item is taken.
    Ending the iteration early cancels what has not begun.

    Args:
        call: blocks until it has a result; runs in up to ``in_flight`` threads at once.
        items: taken in the caller's thread, one at a time.
        in_flight: most items taken and not yet delivered, at least 1.

    Yields:
        Each item and its finished future; ``future.result()`` gives the result or raises.
    """
    if in_flight < 1:
        raise ValueError(f"in_flight is {in_flight}, expected at least 1")
    pending: deque[tuple[T, Future[R]]] = deque()
    executor = ThreadPoolExecutor(in_flight, thread_name_prefix="framewire-request")
    try:
        for item in items:
            pending.append((item, executor.submit(call, item)))
            while pending and (len(pending) == in_flight or pending[0][1].done()):
                yield _finished(pending.popleft())
        while pending:
            yield _finished(pending.popleft())
    finally:
        # No waiting: whoever stops early, as Ctrl-C does, wants to stop now.
        executor.shutdown(wait=False, cancel_futures=True)


def _finished(pair: tuple[T, Future[R]]) -> tuple[T, Future[R]]:
    # In short waits: Python sees a Ctrl-C that comes just before a wait only when the wait ends.
    while not wait([pair[1]], timeout=_WAIT_S).done:
        pass
    return pair


async def async_map_in_order(
    call: Callable[[T], Awaitable[R]], items: Iterable[T] | AsyncIterable[T], in_flight: int
) -> AsyncGenerator[R, None]:
    """Run ``call`` on each item in tasks; yield results in the items' order.

    The same bound as ``map_in_order``. The first failure is raised and cancels the rest.
    """
    if in_flight < 1:
        raise ValueError(f"in_flight is {in_flight}, expected at least 1")
    pending: deque[asyncio.Future[R]] = deque()
    try:
        async for item in _as_async(items):
            pending.append(asyncio.ensure_future(call(item)))
            while pending and (len(pending) == in_flight or pending[0].done()):
                yield await pending.popleft()
        while pending:
            yield await pending.popleft()
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


async def _as_async(items: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
