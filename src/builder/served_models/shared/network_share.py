"""How streams and pictures of a pipeline share its network while both want more than there is.

The network's queue is first in, first out, so whoever puts more into it gets more of it. Here each
side waits while it is ahead of its share and the other side has something that waits. The detect
step, through which all streams go, keeps how far pictures are ahead in memory of its own; the
processes that put pictures into the network find it among the processes of their server. Who has
the network for itself waits for nothing.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

NAME = "framewire-share-"
PROCESSES = Path("/proc")
# In the memory: by how much pictures are ahead, in millionths of a frame by its weight; when
# streams, and when pictures, last had something that waited, CLOCK_MONOTONIC in ns.
AHEAD, STREAMS_WAIT, PICTURES_WAIT = 0, 1, 2
WORDS = 3
MILLION = 1_000_000
# What waited so long ago waits no longer. Streams say it again with each frame.
STILL_NS = 100_000_000
# Streams may be ahead by so many frames: as many as they have under way.
STREAMS_AHEAD = 4
# Neither side can save up more than this.
MOST_AHEAD = 32
LOOK_S = 0.002
SEARCH_S = 2.0


class NetworkShare:
    """One side of it.

    Args:
        words: the memory; None where there is none yet.
        share: of the streams, more than 0 and less than 1.
    """

    def __init__(self, words: NDArray[np.int64] | None, file: int, share: float) -> None:
        self._words = words
        self._file = file
        self._of_streams, self._of_pictures = share, 1 - share

    def streams_looked(self, frames: int) -> None:
        """Count frames of streams that go to the network."""
        self._add(-frames / self._of_streams, PICTURES_WAIT)

    def streams_wait(self) -> None:
        """Say that streams had no room in the network."""
        if self._words is not None:
            self._words[STREAMS_WAIT] = time.monotonic_ns()

    @property
    def streams_may(self) -> bool:
        """Whether a stream may put a frame into the network."""
        if self._words is None or not self._waits(PICTURES_WAIT):
            return True
        return bool(self._words[AHEAD] > -STREAMS_AHEAD * MILLION / self._of_streams)

    def pictures_may(self) -> bool:
        """Return whether pictures may go to the network; else say that they wait."""
        if self._words is None or not self._waits(STREAMS_WAIT) or self._words[AHEAD] <= 0:
            return True
        self.pictures_wait()
        return False

    def pictures_wait(self) -> None:
        """Say that pictures wait for the network."""
        if self._words is not None:
            self._words[PICTURES_WAIT] = time.monotonic_ns()

    def pictures_go(self, frames: int) -> None:
        """Count pictures that go to the network, where they wait for each other."""
        self._add(frames / self._of_pictures, STREAMS_WAIT)
        self.pictures_wait()

    def _waits(self, side: int) -> bool:
        assert self._words is not None  # noqa: S101 - the caller looked
        return bool(time.monotonic_ns() - self._words[side] < STILL_NS)

    def _add(self, ahead: float, other: int) -> None:
        if self._words is None:
            return
        with self._locked():
            before = int(self._words[AHEAD])
            now = before + round(ahead * MILLION)
            # Nobody comes to be further ahead of those who want nothing.
            most = MOST_AHEAD * MILLION if self._waits(other) else 0
            if ahead > 0:
                self._words[AHEAD] = min(now, max(most, before))
            else:
                self._words[AHEAD] = max(now, min(-most, before))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)


def share_of_streams(network: str, version: int, share: float) -> NetworkShare:
    """Return the streams' side, with memory that exists as long as this process.

    Args:
        network: Triton's name of it.
        version: of it.
        share: of the streams.
    """
    file = os.memfd_create(_name(network, version))
    os.ftruncate(file, mmap.PAGESIZE)
    return NetworkShare(_mapped(file), file, share)


class PictureShare:
    """The pictures' side, once the streams' side is found.

    Args:
        network: Triton's name of it.
        version: of it.
        share: of the streams; None where the pipeline has none.
    """

    def __init__(self, network: str, version: int, share: float | None) -> None:
        self._name = _name(network, version)
        self._share = share
        self._found: NetworkShare | None = None
        self._searched = -SEARCH_S

    def say_waiting(self) -> None:
        """Say that pictures wait for the network."""
        share = self._side()
        if share is not None:
            share.pictures_wait()

    def wait(self, frames: int) -> None:
        """Return when so many pictures may go to the network; they count as gone."""
        share = self._side()
        if share is None or not frames:
            return
        while not share.pictures_may():
            time.sleep(LOOK_S)
        share.pictures_go(frames)

    def _side(self) -> NetworkShare | None:
        if self._found is None and self._share is not None:
            now = time.monotonic()
            if now - self._searched >= SEARCH_S:
                self._searched = now
                file = _file_of_sibling(self._name)
                if file is not None:
                    self._found = NetworkShare(_mapped(file), file, self._share)
        return self._found


def picture_share(settings: Mapping[str, str], args: Mapping[str, str]) -> PictureShare:
    """Return the share of a model's process, of its version's settings and ``initialize``."""
    share = settings.get("stream_share")
    return PictureShare(
        settings["network_model"], int(args["model_version"]), float(share) if share else None
    )


def _name(network: str, version: int) -> str:
    return f"{NAME}{network}-{version}"


def _file_of_sibling(name: str) -> int | None:
    """Open the memory of this name among the processes of the same server."""
    for tasks in (PROCESSES / str(os.getppid()) / "task").glob("*/children"):
        with suppress(OSError):  # a thread that ended meanwhile
            for pid in tasks.read_text().split():
                for link in (PROCESSES / pid / "fd").iterdir():
                    with suppress(OSError):
                        if str(link.readlink()).startswith(f"/memfd:{name} "):
                            return os.open(link, os.O_RDWR | os.O_CLOEXEC)
    return None


def _mapped(file: int) -> NDArray[np.int64]:
    return np.frombuffer(mmap.mmap(file, mmap.PAGESIZE), np.int64, count=WORDS)
