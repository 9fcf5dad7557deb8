"""Ending tasks that nobody needs any more."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any


async def cancel(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks and return when all have ended, however they did."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError, Exception):
            await task
