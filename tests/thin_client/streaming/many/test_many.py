"""Many sources in one client: which is which, who comes and goes, and who harms whom."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from tests.thin_client.streaming.many.running import client
from tests.thin_client.streaming.rtsp import FPS, Camera
from tests.thin_client.streaming.server import TRACKING, Packet, streaming_server
from tests.thin_client.streaming.videos import annex_b, write_video
from thin_client.contract import Codec


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("many") / "video.mp4", key_every=15)


@pytest.fixture(scope="module")
def units(video: Path) -> list[bytes]:
    return annex_b(video, "h264_mp4toannexb")


@pytest.fixture
def server() -> Iterator[SimpleNamespace]:
    with streaming_server(options=TRACKING) as running:
        yield running


@pytest.fixture
def cameras(units: list[bytes]) -> Iterator[list[Camera]]:
    with ExitStack() as running:
        yield [running.enter_context(closing(Camera(units))) for _ in range(3)]


def by_stream(server: SimpleNamespace) -> dict[str, list[Packet]]:
    streams: dict[str, list[Packet]] = defaultdict(list)
    for packet in server.fake.packets:
        streams[packet.stream].append(packet)
    return streams


def test_each_line_says_whose_frame_it_is_over_one_connection(
    server: SimpleNamespace, cameras: list[Camera]
) -> None:
    names = ["gate", "yard", "hall"]
    sources = [f"{name}={camera.url}" for name, camera in zip(names, cameras, strict=True)]
    with client(server.url, *sources, "--frames", "30") as running:
        assert running.end() == 0, running.errors
    frames: dict[str, list[int]] = {name: [] for name in names}
    for line in running.lines:
        if "timestamp_us" in line:
            frames[line["source"]].append(line["timestamp_us"])
            assert line["detections"][0]["track_id"] == 42
    for times in frames.values():
        assert len(times) == 30
        assert times == sorted(set(times))
    ends = {line["source"]: line["statistics"] for line in running.lines if "statistics" in line}
    assert {name: end["frames"] for name, end in ends.items()} == dict.fromkeys(names, 30)
    assert len(server.fake.peers) == 3
    assert len(set(server.fake.peers)) == 1
    assert len(by_stream(server)) == 3
    # The link was measured once, and each plans with its share: of 200 Mbit/s, the most there is.
    links = [float(bits) for bits in re.findall(r": link ([\d.]+) Mbit/s", "".join(running.errors))]
    assert len(links) == 3
    assert len(set(links)) == 1
    assert sum(links) < 201


def test_files_end_and_a_bad_one_fails_alone(
    server: SimpleNamespace, video: Path, tmp_path: Path
) -> None:
    missing = tmp_path / "missing.mp4"
    with client(server.url, f"good={video}", f"bad={missing}", "--every-frame") as running:
        assert running.end() == 1
    states = {line["source"]: line for line in running.lines if "state" in line}
    assert states["good"]["state"] == "ended"
    assert states["bad"]["state"] == "failed"
    assert "no such file" in states["bad"]["reason"]
    assert sum("timestamp_us" in line for line in running.lines) == 60


def test_sources_come_and_go_over_standard_input(
    server: SimpleNamespace, cameras: list[Camera]
) -> None:
    first, second, _ = cameras
    with client(server.url, f"first={first.url}", "--sources", "-") as running:
        running.frames("first", 5)
        running.write(f"add second={second.url}")
        running.frames("second", 5)
        running.write("remove first")
        running.until_state("first", "removed")
        seen = len(running.lines)
        running.frames("second", 40)
        assert {line["source"] for line in running.lines[seen:]} == {"second"}
        running.write("remove nobody")
        running.write("dance")
        running.write(f"add first={first.url}")
        running.frames("first", 5)
    said = "".join(running.errors)
    assert "there is no source of that name: nobody" in said
    assert "a line on standard input is" in said


def test_sources_follow_a_file(
    server: SimpleNamespace, cameras: list[Camera], tmp_path: Path
) -> None:
    first, second, third = cameras
    listed = tmp_path / "cameras.txt"
    listed.write_text(f"# the yard\nfirst={first.url}\nsecond={second.url}\n")
    with client(server.url, f"fixed={third.url}", "--sources", str(listed)) as running:
        running.frames("first", 5)
        running.frames("second", 5)
        streams = set(by_stream(server))
        # As editors do it: another file takes the name.
        new = tmp_path / "new.txt"
        new.write_text(f"second={second.url}\nthird={third.url}\n")
        new.rename(listed)
        running.until_state("first", "removed")
        running.frames("third", 5)
        running.frames("second", 5)
        # One that cannot be used, or is away, changes nothing.
        listed.write_text("same=rtsp://a/1\nsame=rtsp://a/2\n")
        running.frames("second", 40)
        listed.unlink()
        running.frames("third", 40)
        running.frames("fixed", 5)
    assert "two sources are called same" in "".join(running.errors)
    assert "No such file" in "".join(running.errors)
    # Those that stayed were never begun anew.
    began = [packet.stream for packet in server.fake.packets if packet.start]
    assert len(began) == 4
    assert len(streams) <= 3


def silent_port() -> socket.socket:
    """Somebody takes the connection, and says nothing."""
    return socket.create_server(("127.0.0.1", 0))


def flood(units: list[bytes]) -> tuple[socket.socket, str]:
    """A web server that sends a film as fast as it is taken, over and over."""
    listener = socket.create_server(("127.0.0.1", 0))
    whole = b"".join(units)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: video/h264\r\n\r\n")
                    while True:
                        connection.sendall(whole)
                except OSError:
                    continue

    threading.Thread(target=serve, daemon=True).start()
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}/film.h264"


def test_one_that_fails_stalls_or_floods_harms_no_other(
    server: SimpleNamespace, cameras: list[Camera], units: list[bytes]
) -> None:
    good, stalls, breaks = cameras
    listener, film = flood(units)
    with (
        closing(listener),
        closing(silent_port()) as silent,
        client(
            server.url,
            f"good={good.url}",
            f"stalls={stalls.url}",
            f"breaks={breaks.url}",
            f"floods={film}",
            f"silent=rtsp://127.0.0.1:{silent.getsockname()[1]}/live",
            "nobody=rtsp://127.0.0.1:9/live",
        ) as running,
    ):
        assert "cannot open" in running.until_state("nobody", "waiting")["reason"]
        running.frames("breaks", 5)
        running.frames("stalls", 5)
        running.frames("floods", 100)
        first = running.frames("good", 1)[0]["timestamp_us"]
        stalls.pause()
        breaks.close()
        running.until_state("stalls", "stalled")
        running.until_state("breaks", "waiting")
        lines = running.frames("good", 150)
        stalls.resume()
        running.until_state("stalls", "streaming")
        running.frames("stalls", 5)
    # All of the good one's frames are there, at its own pace.
    good_times = [
        line["timestamp_us"]
        for line in running.lines
        if line["source"] == "good" and line.get("timestamp_us", 0) >= first
    ]
    steps = {round((b - a) / 1000) for a, b in pairwise(good_times)}
    assert steps <= {33, 34}
    assert lines[-1]["timestamp_us"] - first >= 150 * 1_000_000 // FPS


def test_each_source_has_its_state_in_the_metrics(
    server: SimpleNamespace, cameras: list[Camera]
) -> None:
    server.fake.settings.looks = lambda packet: round(packet.timestamp_us * FPS / 1e6) % 2 == 0
    with client(
        server.url,
        f"gate={cameras[0].url}",
        "away=rtsp://127.0.0.1:9/live",
        "--metrics-port",
        "0",
    ) as running:
        running.until_state("away", "waiting")
        running.frames("gate", 40)
        (line,) = [line for line in running.errors if "metrics on" in line]
        with closing(HTTPConnection("127.0.0.1", urlsplit(line.split()[-1]).port)) as http:
            http.request("GET", "/metrics")
            answer = http.getresponse()
            assert str(answer.headers["Content-Type"]).startswith("text/plain; version=0.0.4")
            text = answer.read().decode()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert values['framewire_client_state{source="gate",state="streaming"}'] == "1"
    assert values['framewire_client_state{source="gate",state="waiting"}'] == "0"
    assert values['framewire_client_state{source="away",state="waiting"}'] == "1"
    frames = int(values['framewire_client_frames_total{source="gate"}'])
    looked_at = int(values['framewire_client_looked_at_total{source="gate"}'])
    assert frames >= 40
    assert abs(frames - 2 * looked_at) <= 1
    assert int(values['framewire_client_bytes_total{source="gate"}']) > 0
    assert float(values['framewire_client_latency_seconds{source="gate",quantile="0.95"}']) > 0


def test_no_line_of_any_kind_has_a_password(server: SimpleNamespace) -> None:
    address = "rtsp://admin:g3h-31m@127.0.0.1:9/live?token=g3h-31m"
    with client(server.url, address, f"gate={address}", "--sources", "-") as running:
        for shown in ("rtsp://***@127.0.0.1:9/live?token=***", "gate"):
            running.until_state(shown, "waiting")
        running.write(f"remove {address}x")
        running.write(f"add yard={address}")
        running.until_state("yard", "waiting")
        running.write(f"remove {address}")
        running.until(lambda line: line.get("state") == "removed")
    said = json.dumps(running.lines) + "".join(running.errors)
    assert "***" in said
    assert "g3h" not in said


def test_a_server_that_was_away_is_taken_up_by_all(
    cameras: list[Camera],
) -> None:
    with ExitStack() as running_things:
        first = running_things.enter_context(streaming_server(options=TRACKING))
        running = running_things.enter_context(
            client(first.url, f"a={cameras[0].url}", f"b={cameras[1].url}", "--sources", "-")
        )
        running.frames("a", 5)
        running.frames("b", 5)
        first.stop()
        running.until_state("a", "waiting")
        # Who comes meanwhile waits as well.
        running.write(f"add c={cameras[2].url}")
        assert "cannot reach" in running.until_state("c", "waiting")["reason"]
        running_things.enter_context(streaming_server(port=first.port, options=TRACKING))
        running.until_state("a", "streaming")
        running.until_state("c", "streaming")
        running.frames("a", 20)
        running.frames("b", 20)


def test_the_codecs_may_differ(server: SimpleNamespace, units: list[bytes], tmp_path: Path) -> None:
    h265 = annex_b(write_video(tmp_path / "v.mkv", "libx265", key_every=15), "hevc_mp4toannexb")
    with (
        closing(Camera(units)) as one,
        closing(Camera(h265, codec=Codec.H265)) as other,
        client(server.url, f"one={one.url}", f"other={other.url}", "--frames", "10") as running,
    ):
        assert running.end() == 0, running.errors
    assert {packet.codec for packet in server.fake.packets if packet.data} == {"h264", "h265"}


def test_what_no_source_can_mend_ends_the_command_in_words(
    server: SimpleNamespace, cameras: list[Camera]
) -> None:
    sources = [f"{number}={camera.url}" for number, camera in enumerate(cameras)]
    with client(server.url, *sources, "--classes", "wolf") as running:
        assert running.end() == 2
    with streaming_server() as older, client(older.url, *sources, "--detect-fps", "5") as second:
        assert second.end() == 2
    assert "no class 'wolf'" in "".join(running.errors)
    assert "--detect-fps" in "".join(second.errors)
