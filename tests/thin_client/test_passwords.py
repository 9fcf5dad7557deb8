"""No password of an address comes out of the client again, whatever happens to it."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.thin_client.streaming.rtsp import Camera
from tests.thin_client.streaming.server import streaming_server
from tests.thin_client.streaming.videos import annex_b, write_video
from thin_client import Connection, Detector, FramewireError
from thin_client.video import VideoReader

SECRET = "g3h-31m"  # noqa: S105
USER = f"admin:{SECRET}@"
QUERY = f"user=admin&pwd={SECRET}&token={SECRET}"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


class WebCamera(ThreadingHTTPServer):
    """Gives a video at /video, half of one at /half, something else at /text, and else a 401."""

    def __init__(self, video: bytes) -> None:
        bodies = {"/video": video, "/half": video[: len(video) // 2], "/text": b"no video" * 999}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = bodies.get(self.path.partition("?")[0])
                self.send_response(401 if body is None else 200)
                self.send_header("Content-Length", str(0 if body is None else len(video)))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server_port}"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # MPEG transport stream: it can be read from its beginning on, whole or not.
    return write_video(tmp_path_factory.mktemp("passwords") / "video.ts")


@pytest.fixture(scope="module")
def web(video: Path) -> Iterator[WebCamera]:
    with WebCamera(video.read_bytes()) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def client(tmp_path: Path) -> Run:
    """Run ``framewire-client``, and look for the secret in everything that it prints."""

    def run(*arguments: str, patience_s: float = 60) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "thin_client.cli", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
            timeout=patience_s,
        )
        assert SECRET not in done.stdout + done.stderr
        # As `repr` and JSON would have it.
        assert SECRET.replace("-", "\\u002d") not in done.stdout + done.stderr
        return done

    return run


@pytest.mark.parametrize("options", [(), ("--json",), ("--verbose",)])
@pytest.mark.parametrize("command", ["stream", "video"])
def test_of_a_source_that_cannot_be_opened(
    command: str, options: tuple[str, ...], client: Run, web: WebCamera
) -> None:
    with streaming_server() as server:
        for address, shown in (
            (f"rtsp://{USER}127.0.0.1:1/live", "rtsp://***@127.0.0.1:1/live"),
            (f"http://{USER}{web.place}/gone", f"http://***@{web.place}/gone"),
            (
                f"http://{web.place}/text?{QUERY}",
                f"http://{web.place}/text?user=***&pwd=***&token=***",
            ),
            (f"http://{USER.replace('@', '@@')}{web.place}/gone", f"http://***@{web.place}/gone"),
        ):
            done = client(command, address, "--url", server.url, *options)
            assert done.returncode == 2
            assert f"cannot open the video {shown}: " in done.stderr


@pytest.mark.parametrize("options", [(), ("--json",), ("--verbose",)])
def test_of_a_source_that_is_read_to_its_end(
    options: tuple[str, ...], client: Run, web: WebCamera
) -> None:
    address, shown = f"http://{USER}{web.place}/video?{QUERY}", f"http://***@{web.place}/video?"
    with streaming_server() as server:
        server.fake.before_answer = lambda images: images.__setitem__(0, b"ok 7")
        done = client("video", address, "--url", server.url, *options)
        assert done.returncode == 0, done.stderr
        assert shown in done.stdout
        done = client("stream", address, "--url", server.url, "--frames", "9", *options)
        assert done.returncode == 0, done.stderr
        assert "--json" in options or shown in done.stdout


def test_of_a_source_that_ends_and_is_opened_again(client: Run, web: WebCamera) -> None:
    with streaming_server() as server:
        options = ("--url", server.url, "--verbose", "--frames", "90")
        done = client("stream", f"http://{USER}{web.place}/half", *options)
    assert done.returncode == 0, done.stderr
    assert f"http://***@{web.place}/half: " in done.stderr
    assert "opening it again" in done.stderr


def test_of_a_live_source_of_which_every_frame_is_wanted(client: Run, web: WebCamera) -> None:
    with streaming_server() as server:
        address = f"http://{USER}{web.place}/video"
        done = client("stream", address, "--every-frame", "--url", server.url)
    assert done.returncode == 2
    assert f"http://***@{web.place}/video is live" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("camera", f"rtsp://{USER}camera/"), "invalid int value: 'rtsp://***@camera/'"),
        (
            ("dummy", f"rtsp://{USER}camera/"),
            "unrecognized arguments: rtsp://***@camera/",
        ),
        (("info", "--url", f"grpcs://{USER}triton:8001"), "grpcs://***@triton:8001 names a user"),
        (("info", "--url", f"{USER}triton:8001"), "***@triton:8001 names a user"),
        (("info", "--url", f"dns:///{USER}triton:8001"), "dns:///***@triton:8001 names a user"),
        (("info", "--url", f"https://{USER}triton"), "https://***@triton is an HTTP address"),
        (
            ("info", "--url", f"triton:8001?key={SECRET}"),
            "'triton:8001?key=***' is not an address",
        ),
        (("info", "--header", f"Bearer {SECRET}"), "must be NAME=VALUE"),
    ],
)
def test_of_an_argument_that_cannot_be(arguments: tuple[str, ...], said: str, client: Run) -> None:
    done = client(*arguments)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_of_an_image_that_is_no_file(options: tuple[str, ...], client: Run) -> None:
    with streaming_server() as server:
        address = f"http://{USER}camera/snapshot.jpg?{QUERY}"
        done = client("image", address, "--url", server.url, *options)
    assert done.returncode == 1
    assert "http://***@camera/snapshot.jpg?user=***" in done.stdout + done.stderr


def test_a_file_is_called_by_its_name_whatever_it_looks_like(
    client: Run, video: Path, tmp_path: Path
) -> None:
    film, picture = "gate?user=admin.ts", "21T08:30@gate.jpg"
    shutil.copy(video, tmp_path / film)
    (tmp_path / picture).write_bytes(b"no picture")
    with streaming_server() as server:
        options = ("--url", server.url)
        done = client("image", picture, *options, "--json")
        assert json.loads(done.stdout)["file"] == picture
        done = client("stream", film, *options, "--frames", "2")
        assert done.stdout.startswith(f"{film}: ")
        server.fake.before_answer = lambda images: images.__setitem__(0, b"ok 7")
        done = client("video", film, *options, "--frames", "2", "--json")
        assert [json.loads(line)["file"] for line in done.stdout.splitlines()] == [film] * 2


def everything_told(error: BaseException) -> str:
    """What a traceback shows, and what those read who follow the chain themselves."""
    told = ["".join(traceback.format_exception(error))]
    links: list[BaseException | None] = [error]
    while links:
        link = links.pop()
        if link is not None:
            told.append(f"{link} {link!r} {link.args} {getattr(link, 'filename', '')}")
            links += [link.__cause__, link.__context__]
    return "\n".join(told)


def test_of_an_exception_and_its_chain(web: WebCamera) -> None:
    addresses = [
        f"rtsp://{USER}127.0.0.1:1/live",
        f"http://{USER}{web.place}/gone?{QUERY}",
        f"http://{web.place}/text?{QUERY}",
    ]
    with streaming_server() as server, Detector(server.url) as detector:
        for address in addresses:
            for attempt in (detector.video_stream, VideoReader):
                with pytest.raises(FramewireError) as caught:
                    attempt(address)
                told = everything_told(caught.value)
                assert SECRET not in told
                assert "***" in told
    for url in (f"{USER}triton:8001", f"grpc://{USER}triton", f"http://{USER}triton"):
        with pytest.raises(FramewireError) as caught:
            Connection(url)
        assert SECRET not in everything_told(caught.value)


def test_of_a_camera_that_hangs_up_in_logs_and_sentences(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    camera = Camera(annex_b(write_video(tmp_path / "video.mp4"), "h264_mp4toannexb"))
    address = camera.url.replace("://", f"://{USER}")
    said: list[str] = []
    try:
        with streaming_server() as server, Detector(server.url) as detector:
            # Once to a function, once to the log.
            for say in (said.append, None):
                with detector.video_stream(address, say=say) as stream:
                    results = iter(stream)
                    next(results)
                    camera.hang_up()
                    for _ in range(40):
                        next(results)
    finally:
        camera.close()
    assert any("rtsp://***@" in sentence and "again" in sentence for sentence in said)
    assert any("rtsp://***@" in record.getMessage() for record in caplog.records)
    assert SECRET not in "\n".join(said) + caplog.text
