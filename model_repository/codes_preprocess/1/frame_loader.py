"""Decodes the images of several requests at once, on a share of the machine's cores.

Triton runs each of several processes for one batch of requests at a time, so that no request waits
for another one's answer to be sent and every message counts for the whole batch. Inside a process
threads share the images: decoding and resizing leave Python's lock to others.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import cv2

from cores import allowed_cores
from decode import upright_size
from frame_batch import FrameBatch
from frames import FrameFormat, LoadedFrame, frame_format, load_frame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from contract import DamagedImages
    from numpy.typing import NDArray

# A batch larger than this for each thread gets more threads than its process has a right to: it is
# one client's large batch, or there is so much to do that every core is busy anyway.
IMAGES_OF_THREAD = 4


class FrameLoader:
    """Decodes batches of images.

    Args:
        wanted: what the frames are to be like.
        cores: of the machine, as far as they may be used.
        instances: processes that decode at once.
        threads: that decode in this one; 0 for its share of the cores.
    """

    def __init__(self, wanted: FrameFormat, cores: int, instances: int, threads: int = 0) -> None:
        # One thread per image: OpenCV's own threads would fight ours for the cores.
        cv2.setNumThreads(1)
        self._wanted = wanted
        self._cores = cores
        self._share = -(-cores // instances)
        self._fixed = threads
        self._helpers = ThreadPoolExecutor(
            max(1, (threads or cores) - 1), thread_name_prefix="decode"
        )

    def load(
        self,
        requests: Sequence[Sequence[bytes]],
        damaged: Sequence[DamagedImages | None] | None = None,
    ) -> tuple[FrameBatch, list[LoadedFrame | Exception]]:
        """Decode the images of several requests.

        Args:
            requests: the images of each, a file each; a request's frames have one shape.
            damaged: of each image, what becomes of it if it is damaged, as
                :func:`frames.load_frame` has it; None leaves all of it to what is wanted.

        Returns:
            The frames, and what became of each image: what could not be decoded is told by its
            status; an exception is a fault of ours.
        """
        images = [image for request in requests for image in request]
        frames = FrameBatch([(self._shape(request), len(request)) for request in requests])
        work = _Batch(images, damaged or [None] * len(images), self._wanted, frames.frames())
        if not images:  # every request was refused for something else
            return frames, work.loaded
        for _ in range(self._threads(len(images)) - 1):
            self._helpers.submit(work.run)
        work.run()
        work.done.wait()
        return frames, work.loaded

    def _shape(self, images: Sequence[bytes]) -> tuple[int, int, int]:
        wanted = self._wanted
        if not wanted.stride:
            return wanted.shape
        return wanted.shape_for([_size(image, wanted) for image in images])

    def _threads(self, images: int) -> int:
        if self._fixed:
            return min(images, self._fixed)
        return min(images, self._cores, max(self._share, images // IMAGES_OF_THREAD))

    def close(self) -> None:
        """End the threads."""
        self._helpers.shutdown(wait=True)


def frame_loader_from_settings(settings: Mapping[str, str]) -> FrameLoader:
    """Return a loader for the frames of a version's settings, on the cores there are."""
    return FrameLoader(
        frame_format(settings),
        allowed_cores(),
        int(settings["instances"]),
        int(settings["decode_threads"]),
    )


def _size(image: bytes, wanted: FrameFormat) -> tuple[int, int] | None:
    try:
        return upright_size(image, wanted.limits)
    except Exception:  # noqa: BLE001 - whoever decodes it meets the fault again, and tells it
        return None


class _Batch:
    """Images that several threads take one after the other."""

    def __init__(
        self,
        images: Sequence[bytes],
        damaged: Sequence[DamagedImages | None],
        wanted: FrameFormat,
        frames: Sequence[NDArray[np.uint8]],
    ) -> None:
        self._frames = frames
        self.loaded: list[LoadedFrame | Exception] = [ValueError("not loaded")] * len(images)
        self.done = threading.Event()
        self._images = images
        self._damaged = damaged
        self._wanted = wanted
        # Both are taken from without a lock: CPython makes each step whole.
        self._next: Iterator[int] = iter(range(len(images)))
        self._unfinished: Iterator[int] = iter(range(len(images) - 1, -1, -1))

    def run(self) -> None:
        """Load images until none is left."""
        for index in self._next:
            try:
                self.loaded[index] = load_frame(
                    self._images[index], self._frames[index], self._wanted, self._damaged[index]
                )
            except Exception as error:  # noqa: BLE001 - the fault of one image must not cost others
                self.loaded[index] = error
            if next(self._unfinished) == 0:
                self.done.set()
