"""A camera that speaks RTSP: one H.264 track, RTP interleaved in the connection (RFC 2326, 6184).

Its parameter sets are only in the answer to DESCRIBE, as with many cameras.
"""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator

FPS = 30
MOST_BYTES = 1400
PARAMETER_SETS = (7, 8)


def nal_units(data: bytes) -> list[bytes]:
    return [part for part in re.split(rb"\x00\x00\x00?\x01", data) if part]


class Camera:
    """Sends the access units over and over to whoever plays; ``hang_up`` breaks off.

    It says that it gives ``said_fps`` frames a second, None: nothing.
    """

    def __init__(
        self,
        units: list[bytes],
        port: int = 0,
        sets_of: list[bytes] | None = None,
        *,
        fps: int = FPS,
        said_fps: int | None = FPS,
    ) -> None:
        self._fps, self._said_fps = fps, said_fps
        self._units = [nal_units(unit) for unit in units]
        self._sets = {nal[0] & 31: nal for unit in sets_of or units for nal in nal_units(unit)}
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self.url = f"rtsp://127.0.0.1:{self.port}/live"
        self._connections: list[socket.socket] = []
        self._closed = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def hang_up(self) -> None:
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._closed.set()
        # Closing alone does not wake who waits to accept, and one more connection would be taken.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as requests:
            while line := requests.readline():
                headers = {}
                while (header := requests.readline().strip()) != b"":
                    name, _, value = header.decode().partition(":")
                    headers[name.lower()] = value.strip()
                method = line.split()[0].decode()
                connection.sendall(self._answer(method, headers))
                if method == "PLAY":
                    threading.Thread(target=self._play, args=(connection,), daemon=True).start()

    def _answer(self, method: str, headers: dict[str, str]) -> bytes:
        lines, body = ["RTSP/1.0 200 OK", f"CSeq: {headers['cseq']}", "Session: 1"], ""
        if method == "OPTIONS":
            lines.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER")
        elif method == "DESCRIBE":
            sets = ",".join(base64.b64encode(self._sets[kind]).decode() for kind in PARAMETER_SETS)
            body = (
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\n"
                "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
                + (f"a=framerate:{self._said_fps}\r\n" if self._said_fps else "")
                + f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}\r\n"
                "a=control:track\r\n"
            )
            lines += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
        elif method == "SETUP":
            lines.append("Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
        return ("\r\n".join([*lines, "", ""]) + body).encode()

    def _play(self, connection: socket.socket) -> None:
        number, started = 0, time.monotonic()
        sequence = 0
        with contextlib.suppress(OSError):
            while not self._closed.is_set():
                unit = self._units[number % len(self._units)]
                nals = [nal for nal in unit if nal[0] & 31 not in PARAMETER_SETS]
                for index, nal in enumerate(nals):
                    for payload, last in payloads(nal):
                        marker = last and index == len(nals) - 1
                        header = struct.pack(
                            ">BBHII",
                            0x80,
                            96 | (0x80 if marker else 0),
                            sequence & 0xFFFF,
                            number * 90_000 // self._fps,
                            1,
                        )
                        packet = header + payload
                        connection.sendall(b"$\x00" + struct.pack(">H", len(packet)) + packet)
                        sequence += 1
                number += 1
                self._closed.wait(max(0.0, started + number / self._fps - time.monotonic()))


def payloads(nal: bytes) -> Iterator[tuple[bytes, bool]]:
    """A NAL unit as RTP payloads, and whether each is its last: whole, or in fragments (FU-A)."""
    if len(nal) <= MOST_BYTES:
        yield nal, True
        return
    pieces = [nal[start : start + MOST_BYTES] for start in range(1, len(nal), MOST_BYTES)]
    for number, piece in enumerate(pieces):
        first, last = number == 0, number == len(pieces) - 1
        flags = (0x80 if first else 0) | (0x40 if last else 0)
        yield bytes([nal[0] & 0xE0 | 28, flags | nal[0] & 31]) + piece, last
