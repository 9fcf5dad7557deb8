"""Noticing that a connection was lost while nobody called.

gRPC makes it anew by itself with the next call, and who answers then may be another server. No call
fails by that, so only the state of the channel tells: it leaves READY.
"""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc

__all__ = ["AsyncWatch", "Watch"]

_READY = grpc.ChannelConnectivity.READY
# gRPC's thread that polls fails in words on stderr where the channel is closed between two of its
# steps; in so long it has taken the step and waits, or has ended.
_STEP_S = 0.02
_BEGUN_WITHIN_S = 1.0


class Watch:
    """Has ``lost`` called whenever a connection of a ``grpc.Channel`` is lost.

    Args:
        channel: open; closed when the object of ``lost`` is no longer used, or Python ends.
        lost: a bound method, called in a thread of gRPC's; its object is not kept alive.
    """

    def __init__(self, channel: Any, lost: Callable[[], None]) -> None:
        self._channel = channel
        self._looked = looked = threading.Event()
        lost_if_there = weakref.WeakMethod(lost)
        was_ready = False

        def look(state: grpc.ChannelConnectivity) -> None:
            nonlocal was_ready
            looked.set()
            call = lost_if_there() if was_ready and state is not _READY else None
            was_ready = state is _READY
            if call is not None:
                call()

        self._look = look
        self._ended = False
        # As Python ends it stops the thread that polls wherever it is, and a channel that is open
        # then waits for that thread for ever. So it is closed before, or with the object.
        weakref.finalize(lost.__self__, self._close_all)  # type: ignore[attr-defined]
        channel.subscribe(look)

    def close(self) -> None:
        """End it, before the channel is closed; may be called again."""
        if self._ended:
            return
        self._ended = True
        self._looked.wait(_BEGUN_WITHIN_S)
        self._channel.unsubscribe(self._look)
        time.sleep(_STEP_S)

    def _close_all(self) -> None:
        self.close()
        self._channel.close()


class AsyncWatch:
    """The same for a ``grpc.aio.Channel``, in a task of the running event loop.

    Args:
        channel: open.
        lost: a bound method; its object is not kept alive, and with it the task ends.
    """

    def __init__(self, channel: Any, lost: Callable[[], None]) -> None:
        lost_if_there = weakref.WeakMethod(lost)
        self._task = asyncio.create_task(_watch(channel, lost_if_there))
        end = weakref.finalize(lost.__self__, _end, asyncio.get_running_loop(), self._task)  # type: ignore[attr-defined]
        end.atexit = False

    async def close(self) -> None:
        """End the task; before the channel is closed."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task


async def _watch(channel: Any, lost: weakref.WeakMethod[Callable[[], None]]) -> None:
    with suppress(grpc.aio.UsageError):  # the channel is closed
        while (state := channel.get_state()) is not grpc.ChannelConnectivity.SHUTDOWN:
            await channel.wait_for_state_change(state)
            # Whatever it is by now: the loop may have been busy until it was READY again.
            if state is _READY and (call := lost()) is not None:
                call()


def _end(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    # Objects are collected in any thread, and after the end of their loop too.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(task.cancel)
