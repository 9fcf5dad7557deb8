"""Decodes the images of many requests at once, in a fixed number of threads.

Threads, not processes: decoding and resizing leave Python's lock to others, one process needs one
shared-memory region whatever the number of cores, and the number of threads can follow the cores of
the machine that serves, which is not the machine the config was written on.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import cv2
import numpy as np

from cores import allowed_cores
from decode import DecodeLimits
from frames import LoadedFrame, load_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    # Called once per request, in a worker thread: frames uint8 [n, height, width, 3] and what
    # became of each image; or the exception that ended the work.
    Loaded = Callable[["NDArray[np.uint8]", "list[LoadedFrame]"], None]
    Failed = Callable[[BaseException], None]


class FrameLoader:
    """A bounded pool of decoding threads.

    Args:
        width: of the network's input, in pixels.
        height: of the network's input, in pixels.
        limits: what is refused before decoding.
        placement: of the images in the frames.
        workers: threads.
    """

    def __init__(
        self, width: int, height: int, limits: DecodeLimits, placement: str, workers: int
    ) -> None:
        # One thread per image: OpenCV's own threads would fight ours for the cores.
        cv2.setNumThreads(1)
        self._frame_shape = (height, width, 3)
        self._limits = limits
        self._placement = placement
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        # Twice the workers: enough that none idles, few enough that requests wait in Triton's
        # queue, where its limits, priorities and timeouts apply, and not in ours.
        self._slots = threading.BoundedSemaphore(2 * workers)

    def load(self, images: Sequence[bytes], loaded: Loaded, failed: Failed) -> None:
        """Decode the images of one request; returns when all are handed to workers.

        Blocks while all workers are busy. Exactly one of ``loaded`` and ``failed`` is called.
        """
        work = _RequestWork(images, self._frame_shape, self._load, loaded, failed)
        for index in range(len(images)):
            self._slots.acquire()
            self._pool.submit(self._run, work, index)

    def _load(self, image: bytes, frame: NDArray[np.uint8]) -> LoadedFrame:
        return load_frame(image, frame, self._limits, self._placement)

    def _run(self, work: _RequestWork, index: int) -> None:
        try:
            work.load(index)
        finally:
            self._slots.release()

    def close(self) -> None:
        """Finish what was accepted, then end the threads."""
        self._pool.shutdown(wait=True)


def frame_loader_from_settings(settings: Mapping[str, str]) -> FrameLoader:
    """Return a loader for the sizes and limits in a version's settings, a thread for each core."""
    return FrameLoader(
        width=int(settings["input_width"]),
        height=int(settings["input_height"]),
        limits=DecodeLimits(
            max_bytes=int(settings["max_image_bytes"]),
            max_pixels=int(settings["max_image_pixels"]),
        ),
        placement=settings["placement"],
        workers=allowed_cores(),
    )


class _RequestWork:
    """The images of one request; whichever thread finishes the last one reports."""

    def __init__(
        self,
        images: Sequence[bytes],
        frame_shape: tuple[int, int, int],
        load: Callable[[bytes, NDArray[np.uint8]], LoadedFrame],
        loaded: Loaded,
        failed: Failed,
    ) -> None:
        self._images = images
        self._frames = np.empty((len(images), *frame_shape), np.uint8)
        self._results: list[LoadedFrame | None] = [None] * len(images)
        self._load = load
        self._loaded = loaded
        self._failed = failed
        self._lock = threading.Lock()
        self._unfinished = len(images)
        self._error: BaseException | None = None

    def load(self, index: int) -> None:
        try:
            self._results[index] = self._load(self._images[index], self._frames[index])
        except BaseException as error:  # noqa: BLE001 - an answer is owed whatever happened
            self._error = error
        with self._lock:
            self._unfinished -= 1
            if self._unfinished:
                return
        if self._error is None:
            try:
                results = [result for result in self._results if result is not None]
                self._loaded(self._frames, results)
            except Exception as error:  # noqa: BLE001 - likewise
                self._failed(error)
        else:
            self._failed(self._error)
