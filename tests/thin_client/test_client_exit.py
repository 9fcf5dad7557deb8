"""Programs that end without closing their client, as scripts do."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT

ENDS = {
    "at its end": "from thin_client import Detector\n"
    "detector = Detector({url!r})\n"
    "detector.detect(b'ok 1')\n",
    "by an error": "from thin_client import Detector\n"
    "detector = Detector({url!r})\n"
    "detector.detect(b'ok 1')\n"
    "raise SystemExit(7)\n",
    "in a circle": "from thin_client import Detector\n"
    "detector = Detector({url!r})\n"
    "detector.detect(b'ok 1')\n"
    "detector.itself = detector\n",
    "by a loop": "import asyncio\n"
    "from thin_client import AsyncDetector\n"
    "async def main():\n"
    "    detector = AsyncDetector({url!r})\n"
    "    await detector.detect(b'ok 1')\n"
    "    return detector\n"
    "detector = asyncio.run(main())\n",
}


@pytest.mark.parametrize("end", ENDS)
def test_a_program_that_closes_nothing_ends(triton, end):
    program = subprocess.Popen(
        [sys.executable, "-c", ENDS[end].format(url=triton.url)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, said = program.communicate(timeout=60)
    finally:
        program.kill()
    assert said == ""
    assert program.returncode == (7 if end == "by an error" else 0)
