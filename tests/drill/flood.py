"""More calls than a server can answer, at a steady rate, whatever becomes of them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

from tests.drill.load import AT_ONCE, SQUARES
from tests.drill.own_process import READY, START_S, OwnProcess
from thin_client import AsyncDetector, ServerOverloaded


@dataclass(frozen=True)
class Call:
    """One call of a flood.

    Attributes:
        begun_s: since the flood began.
        took_s: until its answer or refusal.
        became: "answered", "refused", or what went wrong in words.
    """

    begun_s: float
    took_s: float
    became: str


def flood(url: str, model: str, rate: float, seconds: float) -> OwnProcess[list[Call]]:
    """Return a process of its own that calls.

    Args:
        url: of the server.
        model: of the pipeline.
        rate: calls a second.
        seconds: how long.
    """
    return OwnProcess(_run, url, model, rate, seconds, patience_s=seconds + 2 * START_S)


def _run(pipe: Connection, url: str, model: str, rate: float, seconds: float) -> None:
    pipe.send(asyncio.run(_flood(pipe, url, model, rate, seconds)))


async def _flood(pipe: Connection, url: str, model: str, rate: float, seconds: float) -> list[Call]:
    async with AsyncDetector(url, model, retry=AT_ONCE, timeout_s=START_S) as detector:
        await detector.connect()
        pipe.send(READY)
        begun, calls = time.monotonic(), []

        async def call() -> None:
            start = time.monotonic()
            try:
                await detector.detect(SQUARES[0])
            except ServerOverloaded:
                became = "refused"
            except Exception as error:  # noqa: BLE001 - kept in words
                became = f"{type(error).__name__}: {error}"
            else:
                became = "answered"
            calls.append(Call(start - begun, time.monotonic() - start, became))

        under_way = set()
        for number in range(int(rate * seconds)):
            late_s = time.monotonic() - begun - number / rate
            if late_s < 0:
                await asyncio.sleep(-late_s)
            task = asyncio.create_task(call())
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        while under_way:
            await asyncio.wait(under_way)
    return calls
