from __future__ import annotations

import base64
import contextlib
import re
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest

from tests.thin_client.streaming.videos import HEIGHT, WIDTH, display_matrix, write_video
from thin_client.contract import ROTATIONS
from thin_client.streaming.orientation import (
    UPRIGHT,
    Orientation,
    orientation_of,
    upright_picture,
)
from thin_client.streaming.source import VideoSource

ALL = [(rotation, mirror) for mirror in (False, True) for rotation in ROTATIONS]


def packed(matrix: list[int]) -> bytes:
    return struct.pack("=9i", *matrix)


@pytest.mark.parametrize(("rotation", "mirror"), ALL)
def test_a_frame_is_turned_to_where_its_matrix_puts_its_pixels(rotation: int, mirror: bool) -> None:
    matrix = display_matrix(rotation, mirror=mirror)
    orientation = orientation_of(packed(matrix))
    assert orientation == Orientation(rotation, mirror)
    pixels = np.arange(3 * 5).reshape(3, 5).astype(np.uint8)
    turned = orientation.turned(np.repeat(pixels[..., None], 3, axis=2))[..., 0]
    # Every stored pixel (p, q) by the formula of the file format, moved into the positive.
    a, b, _, c, d, *_ = (part // 65536 for part in matrix)
    where = {(a * p + c * q, b * p + d * q): pixels[q, p] for q in range(3) for p in range(5)}
    left, top = min(x for x, _ in where), min(y for _, y in where)
    assert turned.shape == ((5, 3) if rotation in (90, 270) else (3, 5))
    assert orientation.size(5, 3) == turned.shape[::-1]
    for (x, y), value in where.items():
        assert turned[y - top, x - left] == value


@pytest.mark.parametrize(("rotation", "mirror"), ALL)
def test_the_matrix_of_a_file_is_found(tmp_path: Path, rotation: int, mirror: bool) -> None:
    video = write_video(tmp_path / "video.mp4", count=3, b_frames=2, turned=(rotation, mirror))
    with VideoSource(str(video)) as source:
        assert source.about.orientation == Orientation(rotation, mirror)
        lies = rotation in (90, 270)
        size = (source.about.width, source.about.height)
        assert size == ((HEIGHT, WIDTH) if lies else (WIDTH, HEIGHT))


def test_a_first_frame_that_is_damaged_hides_no_matrix(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", count=12, key_every=5, turned=(90, False))
    with av.open(str(video)) as container:
        first = next(packet for packet in container.demux(video=0) if packet.size)
        at, size = first.pos, first.size
    data = bytearray(video.read_bytes())
    data[at : at + size] = b"\xff" * size
    video.write_bytes(data)
    with VideoSource(str(video)) as source:
        assert source.about.orientation == Orientation(90)


@pytest.mark.parametrize("degrees", [45, 10, 89])
def test_an_angle_that_no_camera_writes_turns_nothing(degrees: int) -> None:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    slanted = [int(65536 * part) for part in (cosine, sine, 0, -sine, cosine, 0, 0, 0)]
    found = orientation_of(packed([*slanted, 1 << 30]))
    assert found == (Orientation(90) if degrees == 89 else UPRIGHT)


def test_an_empty_matrix_turns_nothing() -> None:
    assert orientation_of(bytes(36)) == UPRIGHT


def test_a_picture_is_turned_with_its_time() -> None:
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:32, :48] = 255
    picture = av.VideoFrame.from_ndarray(pixels, "bgr24")
    picture.pts = 7
    assert upright_picture(picture, UPRIGHT) is picture
    turned = upright_picture(picture, Orientation(90))
    assert (turned.width, turned.height, turned.pts) == (64, 96, 7)
    found = turned.to_ndarray(format="bgr24")
    assert [int(found[y, x].mean()) for y, x in ((10, 10), (10, 50), (80, 50))] == [0, 255, 0]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    """A web server that gives a film that lies to whoever brings the token or the password."""
    film = write_video(tmp_path / "film.mp4", count=6, turned=(90, False)).read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            user = base64.b64encode(b"user:pw").decode()
            if "token=secret" not in self.path and user not in str(self.headers["Authorization"]):
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="films"')
                self.end_headers()
                return
            at = int(re.findall(r"\d+", self.headers["Range"] or "0")[0])
            self.send_response(206)
            self.send_header("Content-Length", str(len(film) - at))
            self.send_header("Content-Range", f"bytes {at}-{len(film) - 1}/{len(film)}")
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(film[at:])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}/film.mp4"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("address", ["http://{}?token=secret", "http://user:pw@{}"])
def test_the_matrix_is_found_where_an_address_says_how_to_get_in(
    guarded: str, address: str
) -> None:
    with VideoSource(address.format(guarded)) as source:
        assert source.about.orientation == Orientation(90)
        assert "secret" not in source.name
        assert "pw" not in source.name


@pytest.mark.parametrize("name", ["take?x=1.mp4", "user:pw@film.mp4"])
def test_the_matrix_is_found_in_a_file_whose_name_looks_like_an_address(
    tmp_path: Path, name: str
) -> None:
    write_video(tmp_path / "film.mp4", count=3, turned=(90, False)).rename(tmp_path / name)
    with VideoSource(str(tmp_path / name)) as source:
        assert source.about.orientation == Orientation(90)
        assert source.name == str(tmp_path / name)
