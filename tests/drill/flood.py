"""More calls than a server can answer, at a steady rate, whatever becomes of them."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from dataclasses import dataclass

from tests.drill.load import AT_ONCE, SQUARES
from thin_client import AsyncDetector, ServerOverloaded

START_S = 30


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


class Flood:
    """A process of its own that calls, as its clocks must not wait for those that measure.

    Args:
        url: of the server.
        model: of the pipeline.
        rate: calls a second.
        seconds: how long.
    """

    def __init__(self, url: str, model: str, rate: float, seconds: float) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_run, args=(there, url, model, rate, seconds))
        self._seconds = seconds

    def __enter__(self) -> Flood:
        self._process.start()
        assert self._here.poll(START_S), "the flood's process did not start"
        self._here.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.join(START_S)
        if self._process.is_alive():
            self._process.kill()

    def calls(self) -> list[Call]:
        """Wait for its end and return what became of every call."""
        assert self._here.poll(self._seconds + 2 * START_S), "the flood did not end"
        return list(self._here.recv())


def _run(pipe: multiprocessing.connection.Connection, url: str, model: str, rate: float,
         seconds: float) -> None:  # fmt: skip
    pipe.send(asyncio.run(_flood(pipe, url, model, rate, seconds)))


async def _flood(
    pipe: multiprocessing.connection.Connection, url: str, model: str, rate: float, seconds: float
) -> list[Call]:
    async with AsyncDetector(url, model, retry=AT_ONCE, timeout_s=START_S) as detector:
        await detector.connect()
        pipe.send("ready")
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
