"""Frames from video files and cameras, frames to a video file; through OpenCV."""

from __future__ import annotations

import math
import os
from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thin_client.closing import Closing
from thin_client.errors import OutputUnwritable, SourceUnreadable
from thin_client.opencv import load_opencv
from thin_client.sources import shown_source

__all__ = ["Frame", "VideoReader", "VideoWriter", "encode_jpeg"]

DEFAULT_FPS = 25.0

_CODECS = {".avi": "MJPG", ".mkv": "mp4v", ".mov": "mp4v", ".mp4": "mp4v"}


@dataclass(frozen=True, eq=False)
class Frame:
    """One decoded frame.

    Attributes:
        index: 0 for the first frame.
        pixels_bgr: uint8 [height, width, 3], blue green red, turned upright as the container says.
    """

    index: int
    pixels_bgr: npt.NDArray[np.uint8]


class VideoReader(Closing):
    """An open video file, stream or camera.

    Args:
        source: a path or URL, or the index of a camera.
        fps: asked of a camera, which may answer with another rate.

    Attributes:
        fps: the source's own frame rate, frames per second; 25 when it does not say.
        frame_count: frames in the file; None for a camera or a stream.
        sample_aspect_ratio: width to height of a pixel of the upright frame.

    Raises:
        SourceUnreadable: it cannot be opened.
        OpenCVMissing: there is no OpenCV.
    """

    def __init__(self, source: str | int, fps: float | None = None) -> None:
        self._cv2 = load_opencv("reading video")
        _silence(self._cv2)
        is_camera = isinstance(source, int)
        self._name = (
            f"camera {source}" if isinstance(source, int) else f"video {shown_source(source)}"
        )
        if isinstance(source, str) and "://" not in source and not Path(source).is_file():
            raise SourceUnreadable(f"cannot open the {self._name}: there is no such file")
        self._capture = self._cv2.VideoCapture(source)
        if not self._capture.isOpened():
            hint = "check its index and who else uses it" if is_camera else "OpenCV cannot read it"
            raise SourceUnreadable(f"cannot open the {self._name}: {hint}")
        if is_camera:
            # A camera's queue only adds delay: the newest frame is the one wanted.
            self._capture.set(self._cv2.CAP_PROP_BUFFERSIZE, 1)
            if fps is not None:
                self._capture.set(self._cv2.CAP_PROP_FPS, fps)
        # OpenCV 4.11 alone leaves a phone's film on its side unless it is told not to.
        self._capture.set(self._cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        found_fps = self._capture.get(self._cv2.CAP_PROP_FPS)
        self.fps = found_fps if math.isfinite(found_fps) and found_fps > 0 else DEFAULT_FPS
        count = self._capture.get(self._cv2.CAP_PROP_FRAME_COUNT)
        self.frame_count = int(count) if math.isfinite(count) and count > 0 else None
        self.sample_aspect_ratio = self._aspect()

    def frames(self, limit: int | None = None) -> Generator[Frame, None, None]:
        """Yield the frames, at most ``limit`` of them.

        Raises:
            SourceUnreadable: not even one frame can be read.
        """
        index = 0
        while limit is None or index < limit:
            read, pixels = self._capture.read()
            if not read:
                break
            yield Frame(index, pixels)
            index += 1
        if index == 0 and limit != 0:
            raise SourceUnreadable(f"the {self._name} has no frame that can be decoded")

    def close(self) -> None:
        """Let go of the file or the camera."""
        self._capture.release()

    def _aspect(self) -> Fraction:
        properties = self._cv2.CAP_PROP_SAR_NUM, self._cv2.CAP_PROP_SAR_DEN
        width, height = (round(self._capture.get(each)) for each in properties)
        if width < 1 or height < 1:
            return Fraction(1)  # what OpenCV says where nobody knows
        lies = self._capture.get(self._cv2.CAP_PROP_ORIENTATION_META) % 180 == 90
        return Fraction(height, width) if lies else Fraction(width, height)


class VideoWriter(Closing):
    """A video file in the making; opened by its first frame, whose size it takes.

    Args:
        path: ends in .mp4, .mov, .mkv or .avi.
        fps: frames per second of the file.

    Raises:
        OutputUnwritable: the suffix is another, the folder is missing, or OpenCV cannot write it.
        OpenCVMissing: there is no OpenCV.
    """

    def __init__(self, path: str, fps: float) -> None:
        self._cv2 = load_opencv("writing video")
        _silence(self._cv2)
        self._path = Path(path)
        self._fps = fps
        self._writer: Any = None
        self._size: tuple[int, int] | None = None
        if self._path.suffix.lower() not in _CODECS:
            known = ", ".join(sorted(_CODECS))
            raise OutputUnwritable(f"cannot write the video {path}: its name must end in {known}")
        if not self._path.absolute().parent.is_dir():
            raise OutputUnwritable(f"cannot write the video {path}: its folder does not exist")

    def write(self, pixels_bgr: npt.NDArray[np.uint8]) -> None:
        """Append a frame, uint8 [height, width, 3], blue green red.

        Raises:
            OutputUnwritable: OpenCV cannot open the file, or the frame's size differs from the
                first one's.
        """
        size = (pixels_bgr.shape[1], pixels_bgr.shape[0])
        if self._size is None:
            codec = self._cv2.VideoWriter_fourcc(*_CODECS[self._path.suffix.lower()])
            self._writer = self._cv2.VideoWriter(str(self._path), codec, self._fps, size)
            self._size = size
            if not self._writer.isOpened():
                raise OutputUnwritable(
                    f"cannot write the video {self._path}: OpenCV cannot open it"
                )
        if size != self._size:
            # OpenCV would drop it without a word.
            raise OutputUnwritable(
                f"cannot write the video {self._path}: a frame is {size[0]}x{size[1]},"
                f" the first was {self._size[0]}x{self._size[1]}"
            )
        self._writer.write(pixels_bgr)

    def close(self) -> None:
        """Finish the file; without this it has no index and most players refuse it."""
        if self._writer is not None:
            self._writer.release()


def encode_jpeg(pixels_bgr: npt.NDArray[np.uint8], quality: int) -> bytes:
    """Return a frame, uint8 [height, width, 3] BGR, as a JPEG of quality 1 to 100."""
    cv2 = load_opencv("encoding frames")
    encoded, buffer = cv2.imencode(".jpg", pixels_bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not encoded:
        raise SourceUnreadable(f"cannot encode a frame of shape {list(pixels_bgr.shape)} as JPEG")
    return bytes(buffer)


def _silence(cv2: Any) -> None:
    """Keep OpenCV's and FFmpeg's warnings off stderr: what matters becomes an exception here."""
    # OpenCV 5 moved the function.
    set_log_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
    set_log_level(0)
    # FFmpeg's AV_LOG_QUIET; OpenCV reads this once, when it first opens a video.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
