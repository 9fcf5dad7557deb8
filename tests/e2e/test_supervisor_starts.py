"""A Triton that aborts when it starts, as it was seen to on a loaded machine."""

from __future__ import annotations

from pathlib import Path

from tests.builder.starting import installed_triton
from tests.e2e.wire import infer
from tests.serving import Serving, serving
from tests.supervised import (
    SQUARE,
    lines,
)


def test_an_aborted_start_is_tried_again(streaming_repository: Path, tmp_path: Path) -> None:
    program = aborting_triton(tmp_path, times=2)
    with serving(streaming_repository, "--triton", str(program)) as server:
        assert infer(server.url, "tiny", [SQUARE])
        assert len(lines(server)) == 2
        assert all("Triton was killed by SIGABRT" in line for line in lines(server))


def test_a_start_that_aborts_each_time_ends_it(streaming_repository: Path, tmp_path: Path) -> None:
    server = Serving(streaming_repository, "--triton", str(aborting_triton(tmp_path, times=99)))
    try:
        assert server.wait() == 1
        assert [line.count("SIGABRT") for line in lines(server)] == [1, 1, 1]
    finally:
        server.stop()


def aborting_triton(folder: Path, times: int) -> Path:
    """A program that is the embedded Triton, but aborts when it is first started."""
    starts = f"{folder}/starts"
    abort = f"echo x >>{starts}; [ $(wc -l <{starts}) -gt {times} ] || kill -ABRT $$"
    return installed_triton(folder, abort)
