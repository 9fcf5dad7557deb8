"""A video file, a camera or an RTSP stream: its packets as they are, its frames when asked for."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from thin_client.closing import Closing
from thin_client.contract import Codec
from thin_client.errors import SourceUnreadable
from thin_client.redaction import shown_address
from thin_client.streaming.inbox import Item
from thin_client.streaming.pyav import load_pyav
from thin_client.streaming.units import Unit, is_disposable, is_key, with_parameter_sets
from thin_client.streaming.wishes import Source

__all__ = ["VideoSource"]

DEFAULT_FPS = 25.0
OPEN_TIMEOUT_S, READ_TIMEOUT_S = 10.0, 10.0

_CODECS = {"h264": Codec.H264, "hevc": Codec.H265, "mjpeg": Codec.MJPEG}
_ANNEX_B = {Codec.H264: "h264_mp4toannexb", Codec.H265: "hevc_mp4toannexb"}
_COUNTED_S = 2.0
_REMEMBERED = 1024
_HUFFMAN_TABLES = b"\xff\xc4"
# Without these FFmpeg looks at five seconds of a stream, and keeps half a second of it, before it
# gives the first packet.
_RTSP = {"rtsp_transport": "tcp", "fflags": "nobuffer", "flags": "low_delay"}


class VideoSource(Closing):
    """An open source.

    Args:
        name: a file, a URL such as ``rtsp://...``, or a camera: ``/dev/video0`` or its number.
        fps: asked of a camera, which may answer with another rate.
        size: likewise, width and height in pixels.

    Attributes:
        name: as it was given, but for what lets somebody in.
        about: size, rate, codec and bits per second, as far as the source says.
        live: whether it goes on whether or not somebody reads; a file is read at its own pace.

    Raises:
        SourceUnreadable: it cannot be opened, or has no video.
        PyAVMissing: there is no PyAV.
    """

    def __init__(
        self, name: str, fps: float | None = None, size: tuple[int, int] | None = None
    ) -> None:
        self._av = load_pyav("streaming")
        self.name = shown_address(name)
        camera = f"/dev/video{name}" if name.isdecimal() else name
        is_camera = camera.startswith("/dev/video")
        self.live = is_camera or "://" in name
        if not self.live and not Path(name).is_file():
            raise SourceUnreadable(f"cannot open the video {self.name}: there is no such file")
        options = dict(_RTSP) if name.startswith(("rtsp:", "rtsps:")) else {}
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
        self._context.thread_type = "SLICE"  # threads that take a frame each hold frames back
        self.about = self._describe()
        self.decoding = False
        self._counted = (time.monotonic(), 0)
        self._used: OrderedDict[int, None] = OrderedDict()
        self._filter = self._bitstream_filter()
        self._extradata = self._context.extradata

    def items(self, *, pictures: bool, paced: bool) -> Iterator[Item]:
        """Yield the frames as they come: units, or decoded pictures while ``decoding`` is set.

        Args:
            pictures: also decode where units are yielded, and yield each picture beside its unit.
            paced: wait until a file's frame is due, so that it comes as from a camera.

        Raises:
            SourceUnreadable: a live source broke off.
        """
        started = time.monotonic()
        first_dts: int | None = None
        waiting_for_key = False
        was_decoding = self.decoding
        for packet in self._packets():
            if paced and not self.live and packet.dts is not None:
                first_dts = packet.dts if first_dts is None else first_dts
                due = started + float((packet.dts - first_dts) * self._stream.time_base)
                time.sleep(max(0.0, due - time.monotonic()))
            now = time.monotonic()
            if self.decoding and not was_decoding and not pictures:
                # The decoder has seen nothing so far: it begins where a decoder can.
                waiting_for_key = True
            was_decoding = self.decoding
            if waiting_for_key and not packet.is_keyframe:
                continue
            waiting_for_key = False
            decoded = self._decode(packet) if self.decoding or pictures else []
            if self.decoding or self.about.codec is None:
                for frame in decoded:
                    yield Item(self._unique(self._microseconds(frame.pts)), now, picture=frame)
            else:
                yield from self._units(packet, now, decoded)
        if self.decoding:
            for frame in self._decode(None):
                stamp = self._unique(self._microseconds(frame.pts))
                yield Item(stamp, time.monotonic(), picture=frame)

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
        rate = stream.average_rate or stream.guessed_rate or Fraction(DEFAULT_FPS)
        bits = stream.bit_rate or (None if self.live else self._container.bit_rate)
        return Source(
            width=self._context.width,
            height=self._context.height,
            fps=float(rate),
            codec=_CODECS.get(self._context.name.removesuffix("_cuvid")),
            bits_per_s=float(bits) if bits else None,
        )

    def _bitstream_filter(self) -> Any:
        name = _ANNEX_B.get(self.about.codec) if self.about.codec else None
        if name is None:
            return None
        return self._av.bitstream.BitStreamFilterContext(name, self._stream)

    def _packets(self) -> Iterator[Any]:
        try:
            for packet in self._container.demux(self._stream):
                if packet.size:
                    self._count(packet.size)
                    yield packet
            return
        except self._av.error.EOFError:
            return
        except (self._av.error.FFmpegError, OSError) as error:
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

    def _decode(self, packet: Any) -> list[Any]:
        try:
            return list(self._context.decode(packet))
        except self._av.error.FFmpegError:
            return []  # a damaged packet costs its frame

    def _units(self, packet: Any, now: float, decoded: list[Any]) -> Iterator[Item]:
        timestamp_us = self._microseconds(packet.pts if packet.pts is not None else packet.dts)
        codec = self.about.codec
        assert codec is not None  # noqa: S101
        # A packet may be several pictures late or early against its decoded frame.
        pictures = {self._microseconds(frame.pts): frame for frame in decoded}
        for filtered in [packet] if self._filter is None else self._filter.filter(packet):
            data = bytes(filtered)
            if codec is Codec.MJPEG and _HUFFMAN_TABLES not in data:
                # Some cameras leave the standard tables out, which no JPEG decoder accepts.
                self.decoding = True
                return
            # FFmpeg also knows the points where a stream without IDR pictures can be entered.
            key = packet.is_keyframe or is_key(data, codec)
            if key:
                data = with_parameter_sets(data, codec, self._extradata)
            disposable = is_disposable(data, codec)
            own_us = self._unique(timestamp_us)
            unit = Unit(data, codec, own_us, key, disposable, now)
            yield Item(own_us, now, unit, pictures.pop(timestamp_us, None))
        for late_us, frame in pictures.items():
            yield Item(late_us, now, picture=frame)

    def _microseconds(self, pts: int | None) -> int:
        if pts is None:
            return time.monotonic_ns() // 1000
        start = self._stream.start_time or 0
        return max(0, round(float((pts - start) * self._stream.time_base) * 1e6))

    def _unique(self, timestamp_us: int) -> int:
        """Return a timestamp that no other unit of late has: answers are told apart by it."""
        while timestamp_us in self._used:
            timestamp_us += 1
        self._used[timestamp_us] = None
        while len(self._used) > _REMEMBERED:
            self._used.popitem(last=False)
        return timestamp_us
