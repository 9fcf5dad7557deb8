"""What tests of the supervisor share."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus

from tritonclient.utils import InferenceServerException

from builder.serving.supervision.healing_limit import HELD_S
from tests import images
from tests.e2e.wire import infer
from tests.serving import Serving, shared_memory_of
from tests.tiny_detector import coloured_square

SQUARE = images.encoded(coloured_square("red"))
PUBLIC = ("tiny", "tiny_bls")
# Many times what it takes: how long is for the drill to measure.
PATIENCE_S = 60
# Long enough for every alarm there is, but the one that takes half a minute.
PAUSE_S = 4


def wait_until(condition: Callable[[], bool], told: Callable[[], object] = str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.02)


def is_ready(server: Serving) -> bool:
    return server.ready()[0] == HTTPStatus.OK


def lines(server: Serving) -> list[str]:
    """What the supervisor itself has said."""
    return [line.strip() for line in list(server.errors) if line.startswith("framewire: ")]


def answers(server: Serving, model: str) -> bool:
    try:
        return infer(server.url, model, [SQUARE])["num_dets"].shape == (1, 1)
    except InferenceServerException:
        # A channel that others share, and were refused on, waits before it connects again.
        return False


def assert_mended(server: Serving, before: int) -> str:
    """The line on what happened; it was unready and is ready, and left nothing."""
    wait_until(lambda: not is_ready(server), server.error_text)
    wait_until(lambda: is_ready(server), server.error_text)
    wait_until(lambda: len(lines(server)) >= before + 2, server.error_text)
    what, *others, healed = lines(server)[before:]
    assert healed.startswith("framewire: healed after "), healed
    # The Triton of the wheel, on a loaded machine; not what this is about.
    assert all("(while it started)" in line for line in others), others
    for model in PUBLIC:
        wait_until(lambda model=model: answers(server, model), server.error_text)
    # Else it would not count as mended, and wait before it mends again.
    time.sleep(HELD_S)
    regions = {name.split("_")[2] for name in shared_memory_of(server.process.pid)}
    assert len(regions) == 1
    return what
