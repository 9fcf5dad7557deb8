"""A network whose answer has no room in /dev/shm fails that request in words, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from builder.pipelines.repository import build_pipeline
from builder.serving.shared_memory import SHM_DEFAULT_BYTES
from builder.settings import BuildSettings
from tests import images
from tests.drill.injection import with_shared_memory
from tests.drill.load import to_the_bit
from tests.drill.servers import Server, served
from tests.tiny_detector import coloured_square, save_tiny_detector, tiny_detector
from thin_client import Detector, RetryPolicy, ServerFailed

SIDE, ROWS = 640, 3840
FRAME_BYTES, CANDIDATE_BYTES = SIDE * SIDE * 3, ROWS * 6 * 4
# The frames fit into the region that a process has from the start; with the answer they do not.
BATCH = 13
REGIONS = 16
SQUARE = images.encoded(coloured_square("red"), ".png")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    frames, answers = BATCH * FRAME_BYTES, BATCH * CANDIDATE_BYTES
    assert frames < SHM_DEFAULT_BYTES - 2**19 < SHM_DEFAULT_BYTES < frames + answers
    folder = tmp_path_factory.mktemp("full")
    model = save_tiny_detector(folder / "tiny.onnx", tiny_detector(SIDE, SIDE))
    settings = BuildSettings("tiny", conf=0.1, max_batch=16, candidates=ROWS)
    build_pipeline(model, folder / "repository", settings)
    with served(
        folder / "repository",
        before=with_shared_memory(REGIONS * SHM_DEFAULT_BYTES),
    ) as running:
        yield running


@pytest.fixture
def ballast(server: Server) -> Iterator[Path]:
    """Takes all of /dev/shm that is left."""
    file = Path(f"/proc/{server.triton_pid()}/root/dev/shm/ballast")
    with suppress(OSError), file.open("wb", buffering=0) as opened:
        while True:
            opened.write(bytes(2**16))
    yield file
    file.unlink(missing_ok=True)


@pytest.mark.parametrize("bls", [False, True])
def test_an_answer_that_has_no_room_fails_and_holds_up_nobody(
    server: Server, ballast: Path, bls: bool
) -> None:
    once = RetryPolicy(attempts=1)
    with Detector(server.url, "tiny", bls=bls, timeout_s=30, retry=once) as detector:
        expected = to_the_bit(detector.detect(SQUARE))
        for _ in range(3):
            with pytest.raises(ServerFailed):
                detector.detect_batch([SQUARE] * BATCH)
            assert to_the_bit(detector.detect(SQUARE)) == expected
        ballast.unlink()
        found = detector.detect_batch([SQUARE] * BATCH)
    assert [to_the_bit(each) for each in found] == [expected] * BATCH
