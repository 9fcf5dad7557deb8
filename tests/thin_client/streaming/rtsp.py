"""A camera that speaks RTSP: one track of H.264 or H.265, RTP over TCP or UDP.

RFC 2326, 3550, 6184 and 7798, as far as FFmpeg asks. As with many cameras the parameter sets are
only in the answer to DESCRIBE.
"""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from thin_client.contract import Codec

FPS = 30
MOST_BYTES = 1400
PARAMETER_SETS = (7, 8)
SETS_OF = {Codec.H264: PARAMETER_SETS, Codec.H265: (32, 33, 34)}
UNSUPPORTED_TRANSPORT = "RTSP/1.0 461 Unsupported Transport"


def nal_units(data: bytes) -> list[bytes]:
    return [part for part in re.split(rb"\x00\x00\x00?\x01", data) if part]


def kind(nal: bytes, codec: Codec = Codec.H264) -> int:
    """The type of a NAL unit."""
    return nal[0] & 31 if codec is Codec.H264 else nal[0] >> 1 & 63


@dataclass
class Network:
    """What becomes of the packets between a camera and whoever watches it.

    Attributes:
        loses: whether the RTP packet of this sequence number is lost; with UDP only.
        swaps: whether it comes after the next one; likewise.
        delay_s: how much later than it should the access unit of this number leaves.
    """

    loses: Callable[[int], bool] = lambda _: False
    swaps: Callable[[int], bool] = lambda _: False
    delay_s: Callable[[int], float] = lambda _: 0.0


class Camera:
    """Sends the access units over and over to whoever plays; ``hang_up`` breaks off.

    Args:
        units: in Annex B; their parameter sets are left out.
        port: to listen on.
        sets_of: units that have the parameter sets, where those of ``units`` have none.
        codec: of the units.
        fps: how many it sends a second; 0: as fast as they go.
        said_fps: how many it says that it sends, None: nothing.
        transports: what it agrees to.
        network: see there.
    """

    def __init__(
        self,
        units: list[bytes],
        port: int = 0,
        sets_of: list[bytes] | None = None,
        *,
        codec: Codec = Codec.H264,
        fps: int = FPS,
        said_fps: int | None = FPS,
        transports: Sequence[str] = ("TCP", "UDP"),
        network: Network | None = None,
    ) -> None:
        self._codec, self._fps, self._said_fps = codec, fps, said_fps
        self._transports, self.network = transports, network or Network()
        self._units = [nal_units(unit) for unit in units]
        self._sets = {kind(nal, codec): nal for unit in sets_of or units for nal in nal_units(unit)}
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self.url = f"rtsp://127.0.0.1:{self.port}/live"
        self.used: list[str] = []  # transports of those who watched
        self._connections: list[socket.socket] = []
        self._closed = threading.Event()
        self._goes_on = threading.Event()
        self._goes_on.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def pause(self) -> None:
        """Send nothing, and keep the connections open."""
        self._goes_on.clear()

    def resume(self) -> None:
        self._goes_on.set()

    def hang_up(self) -> None:
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._closed.set()
        self._goes_on.set()
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
        over = threading.Event()
        to_port: int | None = None  # of datagrams
        with (
            contextlib.suppress(OSError),
            connection,
            connection.makefile("rb") as requests,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        ):
            datagrams.bind(("127.0.0.1", 0))
            while line := requests.readline():
                headers = {}
                while (header := requests.readline().strip()) != b"":
                    name, _, value = header.decode().partition(":")
                    headers[name.lower()] = value.strip()
                method = line.split()[0].decode()
                own_port = datagrams.getsockname()[1]
                connection.sendall(self._answer(method, headers, own_port))
                if found := re.search(r"client_port=(\d+)", headers.get("transport", "")):
                    to_port = int(found[1])
                elif method == "SETUP":
                    to_port = None
                if method == "PLAY":
                    self.used.append("TCP" if to_port is None else "UDP")
                    send = (
                        partial(interleave, connection)
                        if to_port is None
                        else partial(send_datagram, datagrams, to_port)
                    )
                    threading.Thread(target=self._play, args=(send, over), daemon=True).start()
        over.set()

    def _answer(self, method: str, headers: dict[str, str], own_port: int) -> bytes:
        lines, body = ["RTSP/1.0 200 OK", f"CSeq: {headers['cseq']}", "Session: 1"], ""
        if method == "OPTIONS":
            lines.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER")
        elif method == "DESCRIBE":
            name = "H264" if self._codec is Codec.H264 else "H265"
            body = (
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\n"
                f"m=video 0 RTP/AVP 96\r\na=rtpmap:96 {name}/90000\r\n"
                + (f"a=framerate:{self._said_fps}\r\n" if self._said_fps else "")
                + f"a=fmtp:96 {self._format()}\r\n"
                "a=control:track\r\n"
            )
            lines += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
        elif method == "SETUP":
            asked = headers["transport"]
            over_udp = "client_port" in asked
            if ("UDP" if over_udp else "TCP") not in self._transports:
                lines[0] = UNSUPPORTED_TRANSPORT
            elif over_udp:
                lines.append(f"Transport: {asked};server_port={own_port}-{own_port + 1}")
            else:
                lines.append("Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
        return ("\r\n".join([*lines, "", ""]) + body).encode()

    def _format(self) -> str:
        """The parameter sets as SDP has them."""
        sets = [base64.b64encode(self._sets[each]).decode() for each in SETS_OF[self._codec]]
        if self._codec is Codec.H264:
            return f"packetization-mode=1;sprop-parameter-sets={','.join(sets)}"
        return "sprop-vps={};sprop-sps={};sprop-pps={}".format(*sets)

    def _play(self, send: Callable[[bytes], object], over: threading.Event) -> None:
        number, started = 0, time.monotonic()
        sequence = 0
        held: bytes | None = None
        with contextlib.suppress(OSError):
            while not (self._closed.is_set() or over.is_set()):
                if not self._goes_on.is_set():
                    before = time.monotonic()
                    self._goes_on.wait()
                    started += time.monotonic() - before
                unit = self._units[number % len(self._units)]
                sets = SETS_OF[self._codec]
                nals = [nal for nal in unit if kind(nal, self._codec) not in sets]
                ticks = number * 90_000 // (self._fps or FPS)
                for index, nal in enumerate(nals):
                    for payload, last in payloads(nal, self._codec):
                        packet = rtp(payload, sequence, ticks, last=last and index == len(nals) - 1)
                        if self.network.swaps(sequence):
                            held = packet
                        elif not self.network.loses(sequence):
                            send(packet)
                        if held is not None and held is not packet:
                            send(held)
                            held = None
                        sequence += 1
                number += 1
                if self._fps:
                    due = started + number / self._fps + self.network.delay_s(number)
                    self._closed.wait(max(0.0, due - time.monotonic()))


def interleave(connection: socket.socket, packet: bytes) -> None:
    """Send an RTP packet within the connection of RTSP (RFC 2326, 10.12)."""
    connection.sendall(b"$\x00" + struct.pack(">H", len(packet)) + packet)


def send_datagram(datagrams: socket.socket, port: int, packet: bytes) -> None:
    datagrams.sendto(packet, ("127.0.0.1", port))


def rtp(payload: bytes, sequence: int, ticks: int, *, last: bool) -> bytes:
    """An RTP packet; ``last`` of its access unit."""
    first = struct.pack(">BBHII", 0x80, 96 | last << 7, sequence & 0xFFFF, ticks & 0xFFFFFFFF, 1)
    return first + payload


def payloads(nal: bytes, codec: Codec = Codec.H264) -> Iterator[tuple[bytes, bool]]:
    """A NAL unit as RTP payloads, and whether each is its last: whole, or in fragments (FU)."""
    if len(nal) <= MOST_BYTES:
        yield nal, True
        return
    header = 1 if codec is Codec.H264 else 2
    starts = range(header, len(nal), MOST_BYTES)
    for number, start in enumerate(starts):
        last = number == len(starts) - 1
        flags = (0x80 if number == 0 else 0) | (0x40 if last else 0) | kind(nal, codec)
        if codec is Codec.H264:
            begin = bytes([nal[0] & 0xE0 | 28, flags])
        else:
            begin = bytes([nal[0] & 0x81 | 49 << 1, nal[1], flags])
        yield begin + nal[start : start + MOST_BYTES], last
