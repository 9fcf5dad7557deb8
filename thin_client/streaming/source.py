"""A video file, a camera or an RTSP stream: its packets as they are, its frames when asked for."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from thin_client.closing import Closing
from thin_client.contract import Codec
from thin_client.errors import SourceUnreadable
from thin_client.sources import shown_source
from thin_client.streaming.clock import ShownTimes, Stamp
from thin_client.streaming.inbox import Item
from thin_client.streaming.orientation import (
    UPRIGHT,
    Orientation,
    orientation_in,
    upright_picture,
)
from thin_client.streaming.pace import Pace
from thin_client.streaming.packaging import Packaging
from thin_client.streaming.packet_times import PacketTimes
from thin_client.streaming.pyav import load_pyav
from thin_client.streaming.source_rate import measured_fps, read_for_a_while
from thin_client.streaming.wishes import Source

__all__ = ["VideoSource"]

DEFAULT_FPS = 25.0
OPEN_TIMEOUT_S, READ_TIMEOUT_S = 10.0, 10.0

_CODECS = {"h264": Codec.H264, "hevc": Codec.H265, "mjpeg": Codec.MJPEG}
_COUNTED_S = 2.0
_MICROSECOND = Fraction(1, 1_000_000)
# Without these FFmpeg looks at five seconds of a stream, and keeps half a second of it, before it
# gives the first packet.
_RTSP = {"fflags": "nobuffer", "flags": "low_delay"}
# Over TCP nothing is lost between the camera and us; some cameras speak UDP only, and say so.
_RTSP_TRANSPORTS = {
    "auto": {"rtsp_transport": "tcp+udp", "rtsp_flags": "prefer_tcp"},
    "tcp": {"rtsp_transport": "tcp"},
    "udp": {"rtsp_transport": "udp"},
}
# Containers that may be read from a URL and have a display matrix.
_WITH_MATRIX = ("mov", "matroska")
# AV_FIELD_PROGRESSIVE of libavcodec/defs.h.
_PROGRESSIVE = 1
# A packet, its timestamp, which no other has, and its times.
_Timed = tuple[Any, int, Stamp]


class VideoSource(Closing):
    """An open source.

    Args:
        name: a file, a URL such as ``rtsp://...``, or a camera: ``/dev/video0`` or its number.
        fps: most frames per second that are wanted: asked of a camera, which may answer with
            another rate. Of a live source the rate is measured then, which takes a second or two.
        size: likewise, width and height in pixels.
        begin_us: time of its first frame.
        rtsp_transport: ``tcp`` or ``udp``; ``auto``: UDP where a camera has no TCP.

    Attributes:
        name: as it was given, but for what lets somebody in.
        about: size, rate, codec and bits per second, as far as the source says.
        live: whether it goes on whether or not somebody reads; a file is read at its own pace.
        decoding: whether frames are given and not packets.
        lost: packets so far of which nothing could be made.
        last_us: when the last packet was due.

    Raises:
        SourceUnreadable: it cannot be opened, or has no video.
        PyAVMissing: there is no PyAV.
    """

    def __init__(
        self,
        name: str,
        fps: float | None = None,
        size: tuple[int, int] | None = None,
        *,
        begin_us: int = 0,
        rtsp_transport: str = "auto",
    ) -> None:
        self._av = load_pyav("streaming")
        self.name = shown_source(name)
        camera = f"/dev/video{name}" if name.isdecimal() else name
        is_camera = camera.startswith("/dev/video")
        self.live = is_camera or "://" in name
        if not self.live and not Path(name).is_file():
            raise SourceUnreadable(f"cannot open the video {self.name}: there is no such file")
        options = {}
        if name.startswith(("rtsp:", "rtsps:")):
            options = _RTSP | _RTSP_TRANSPORTS[rtsp_transport]
        if is_camera:
            # A camera that can compress gives more frames over USB than one that does not.
            options = {"input_format": "mjpeg"} | ({"framerate": str(fps)} if fps else {})
            options |= {"video_size": f"{size[0]}x{size[1]}"} if size else {}
        self._container = self._open(camera, options, is_camera)
        if not self._container.streams.video:
            self._container.close()
            raise SourceUnreadable(f"cannot stream {self.name}: it has no video")
        self._stream = self._container.streams.video[0]
        self._context = self._stream.codec_context
        if self._context is None:
            self._container.close()
            raise SourceUnreadable(f"cannot stream {self.name}: nothing here decodes its video")
        self._context.thread_type = "SLICE"  # threads that take a frame each hold frames back
        self._orientation = self._find_orientation(camera, options)
        self.about = self._describe()
        self.decoding = False
        self.lost = 0
        self._counted = (time.monotonic(), 0)
        self._read: deque[_Timed] = deque()
        self._packaging = Packaging(self._av, self._stream, self.about.codec, self._orientation)
        self._times = PacketTimes(
            self._container,
            self._stream,
            fps=self.about.fps,
            live=self.live,
            begin_us=begin_us,
        )
        self._shown_times = ShownTimes()
        if self.live and fps is not None:
            self._measure_rate()

    @property
    def last_us(self) -> int:
        """When the last packet was due."""
        return self._times.last_us

    def items(self, *, pictures: bool, pace: Pace | None = None) -> Iterator[Item]:
        """Yield the frames as they come: units, or decoded pictures while ``decoding`` is set.

        Args:
            pictures: also decode where units are yielded, and yield each picture beside its unit.
            pace: waits until a file's frame is due; None: everything comes at once.

        Raises:
            SourceUnreadable: it broke off.
        """
        waiting_for_key = False
        was_decoding = self.decoding
        for packet, own_us, stamp in self._timed():
            if pace is not None and not self.live:
                pace.wait_for(stamp.due_us)
            now = time.monotonic()
            if self.about.codec is Codec.MJPEG and not self._packaging.is_jpeg(packet):
                self.decoding = True
            if self.decoding and not was_decoding and not pictures:
                # The decoder has seen nothing so far: it begins where a decoder can.
                waiting_for_key = True
            was_decoding = self.decoding
            if waiting_for_key and not packet.is_keyframe:
                self.lost += 1
                continue
            waiting_for_key = False
            as_pictures = self.decoding or self.about.codec is None
            decoded = self._decode(packet, own_us) if as_pictures or pictures else []
            if as_pictures:
                self._shown_times.decoded(stamp.due_us)
            yield from self._pictures(decoded, now, shown=as_pictures)
            if not as_pictures:
                unit = self._packaging.unit(packet, own_us, shown=stamp.shown, taken_at=now)
                if unit is None:
                    self.lost += 1
                else:
                    yield Item(own_us, now, unit)
        if self.decoding or pictures or self.about.codec is None:
            as_pictures = self.decoding or self.about.codec is None
            for picture in self._decode(None, 0):
                self._shown_times.decoded(None)
                yield from self._pictures([picture], time.monotonic(), shown=as_pictures)

    def close(self) -> None:
        """Let go of the file, the camera or the connection."""
        self._container.close()

    def _open(self, name: str, options: dict[str, str], is_camera: bool) -> Any:
        try:
            return self._av.open(
                name,
                format="v4l2" if is_camera else None,
                options=options,
                timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S) if "://" in name else None,
            )
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            said = getattr(error, "strerror", error)
        what = "camera" if is_camera else "video"
        # Out here: FFmpeg's error has the whole address, and would be in every traceback.
        raise SourceUnreadable(f"cannot open the {what} {self.name}: {said}")

    def _describe(self) -> Source:
        stream = self._stream
        rates = [stream.average_rate, stream.guessed_rate]
        if stream.start_time is None and not self.live:
            # A file of nothing but packets: the average is FFmpeg's default, the guess what the
            # packets say.
            rates.reverse()
        rate = next(filter(None, rates), Fraction(DEFAULT_FPS))
        bits = stream.bit_rate or (None if self.live else self._container.bit_rate)
        codec = _CODECS.get(self._context.name.removesuffix("_cuvid"))
        width, height = self._orientation.size(self._context.width, self._context.height)
        aspect = stream.sample_aspect_ratio or Fraction(1)
        return Source(
            width=width,
            height=height,
            fps=float(rate),
            # The server turns packets of video; a JPEG would have to say it itself.
            codec=None if codec is Codec.MJPEG and self._orientation != UPRIGHT else codec,
            bits_per_s=float(bits) if bits else None,
            orientation=self._orientation,
            sample_aspect_ratio=1 / aspect if self._orientation.lies else aspect,
            fields=codec is Codec.H264 and getattr(self._context, "field_order", 0) != _PROGRESSIVE,
        )

    def _find_orientation(self, name: str, options: dict[str, str]) -> Orientation:
        """Look at the first frame: PyAV gives the container's display matrix nowhere else.

        Args:
            name: with which it was opened; ``self.name`` opens nothing where that has a password.
            options: likewise.
        """
        if self.live and not self._container.format.name.startswith(_WITH_MATRIX):
            return UPRIGHT
        try:
            with self._open(name, options, is_camera=False) as container:
                return orientation_in(container)
        except (SourceUnreadable, self._av.error.FFmpegError, OSError):
            return UPRIGHT  # whatever it is, reading the source says it better

    def _measure_rate(self) -> None:
        """Learn the rate of a live source; what is read for it is given later."""
        try:
            self._read.extend(read_for_a_while(self._timed(), lambda timed: timed[2].due_us))
        except SourceUnreadable:
            self._container.close()
            raise
        times_us = [stamp.due_us for _, _, stamp in self._read]
        said_fps, by_arrival = self.about.fps, self._times.by_arrival
        fps = measured_fps(times_us, said_fps, by_arrival=by_arrival)
        self.about = replace(self.about, fps=fps)

    def _timed(self) -> Iterator[_Timed]:
        while self._read:
            yield self._read.popleft()
        for packet in self._packets():
            yield packet, *self._times.stamp(packet)

    def _packets(self) -> Iterator[Any]:
        try:
            for packet in self._container.demux(self._stream):
                if packet.size:
                    self._count(packet.size)
                    yield packet
            return
        except self._av.error.EOFError:
            return
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            said = getattr(error, "strerror", error)
        raise SourceUnreadable(f"the video {self.name} broke off: {said}")

    def _count(self, size: int) -> None:
        """Learn the rate of a live source, which seldom says it."""
        now = time.monotonic()
        began, counted = self._counted
        self._counted = (began, counted + size)
        if self.live and now - began >= _COUNTED_S:
            self.about = replace(self.about, bits_per_s=8 * (counted + size) / (now - began))
            self._counted = (now, 0)

    def _decode(self, packet: Any, own_us: int) -> list[Any]:
        """Return the frames that a packet brings out, each with its own packet's time as pts."""
        if packet is not None:
            packet.time_base = _MICROSECOND
            packet.pts = packet.dts = own_us
        try:
            return list(self._context.decode(packet))
        except self._av.error.FFmpegError:
            self.lost += self.decoding or self.about.codec is None
            return []  # a damaged packet costs its frame

    def _pictures(self, decoded: list[Any], now: float, *, shown: bool) -> Iterator[Item]:
        """Yield decoded pictures: beside their units, or ``shown`` in place of them."""
        for picture in decoded:
            own_us = picture.pts
            if shown:
                own_us = self._shown_times.shown(self._times.shown_us(own_us))
            if own_us is not None:
                yield Item(own_us, now, picture=upright_picture(picture, self._orientation))
