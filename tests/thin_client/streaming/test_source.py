"""What files give: every frame that a player shows, with its time, whatever the container."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.h264_pcm import Coded, access_units
from tests.thin_client.streaming.rtsp import nal_units
from tests.thin_client.streaming.videos import (
    FPS,
    HEIGHT,
    WIDTH,
    annex_b,
    joined,
    moved,
    packets,
    shown_by_a_player,
    write_video,
)
from thin_client.contract import Codec
from thin_client.errors import SourceUnreadable
from thin_client.streaming.inbox import Item
from thin_client.streaming.pace import Pace
from thin_client.streaming.source import VideoSource
from thin_client.streaming.units import Unit

STEP_US = 1_000_000 // FPS
PARAMETER_SETS = {7, 8}


def units_of(items: Iterable[Item]) -> list[Unit]:
    return [item.unit for item in items if item.unit is not None]


def read(path: Path, *, pictures: bool = False) -> list[Item]:
    with VideoSource(str(path)) as source:
        return list(source.items(pictures=pictures))


def decoded(path: Path) -> list[Item]:
    with VideoSource(str(path)) as source:
        source.decoding = True
        return list(source.items(pictures=False))


@pytest.mark.parametrize(
    ("codec", "suffix"), [("libx264", "h264"), ("libx265", "h265"), ("libx264", "avi")]
)
@pytest.mark.parametrize("b_frames", [0, 2])
def test_packets_without_times_come_at_the_rate_that_the_file_says(
    tmp_path: Path, codec: str, suffix: str, b_frames: int
) -> None:
    video = write_video(tmp_path / f"video.{suffix}", codec, fps=15, b_frames=b_frames, count=30)
    now, began = 0.0, 7.0

    def wait(seconds: float) -> None:
        nonlocal now
        now += seconds

    with VideoSource(str(video)) as source:
        assert source.about.fps == 15
        items = source.items(pictures=False, pace=Pace(wait, lambda: began + now))
        came = [(now, item.timestamp_us) for item in items]
    assert [moment for moment, _ in came] == pytest.approx([n / 15 for n in range(30)], abs=1e-4)
    assert [stamp for _, stamp in came] == pytest.approx([1e6 * n / 15 for n in range(30)], abs=99)


def test_packets_that_say_no_rate_come_evenly_to_the_last(tmp_path: Path) -> None:
    # FFmpeg gives those that it looked at to open the file a duration, and the others none.
    video = tmp_path / "video.h264"
    pictures = [Coded(number, 40, key=number == 0) for number in range(120)]
    video.write_bytes(b"".join(access_units(pictures, columns=2, rows=2, fps=None)))
    assert [item.timestamp_us for item in read(video)] == [40_000 * n for n in range(120)]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi", "h264"])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_decoded_frames_have_their_times_in_every_container(
    tmp_path: Path, suffix: str, b_frames: int
) -> None:
    video = write_video(tmp_path / f"video.{suffix}", b_frames=b_frames)
    items = decoded(video)
    assert [item.picture.to_ndarray().sum() for item in items] == shown_by_a_player(video)
    assert [item.timestamp_us for item in items] == pytest.approx(
        [number * 1e6 / FPS for number in range(60)], abs=1001
    )


def test_frames_keep_their_times_where_a_recorder_set_its_clock(tmp_path: Path) -> None:
    first = write_video(tmp_path / "first.ts", count=30, b_frames=2)
    later = moved(first, tmp_path / "later.ts", 5 * 3600)
    wrapping = moved(first, tmp_path / "wrapping.ts", 2**33 / 90_000 - 0.5)
    video = joined(tmp_path / "joined.ts", first, later, first, wrapping, first)
    for items in (decoded(video), read(video)):
        assert sorted(item.timestamp_us for item in items) == pytest.approx(
            [number * 1e6 / FPS for number in range(150)], abs=20
        )
        assert all(item.unit is None or item.unit.shown for item in items)


@pytest.mark.parametrize("wrong", [b"\xff", b"\x7f"])
def test_a_damaged_packet_of_an_mp4_costs_itself_and_no_more(tmp_path: Path, wrong: bytes) -> None:
    video = write_video(tmp_path / "video.mp4")
    with av.open(str(video)) as container:
        place = [packet.pos for packet in container.demux(video=0) if packet.size]
    data = bytearray(video.read_bytes())
    for number in (7, 8, 30):
        data[place[number] : place[number] + 4] = 4 * wrong  # the length of a NAL unit
    video.write_bytes(data)
    with VideoSource(str(video)) as source:
        units = units_of(source.items(pictures=False))
        assert (len(units), source.lost) == (57, 3)
    assert [round(unit.timestamp_us / STEP_US) for unit in units] == [
        number for number in range(60) if number not in (7, 8, 30)
    ]


def test_of_a_cut_mp4_everything_before_the_cut_is_given(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", muxer={"movflags": "faststart"})
    with av.open(str(video)) as container:
        place = [packet.pos for packet in container.demux(video=0) if packet.size]
    video.write_bytes(video.read_bytes()[: place[41] + 50])
    with VideoSource(str(video)) as source:
        assert len(units_of(source.items(pictures=False))) == 41
        assert source.lost == 1


def test_keys_of_an_mp4_have_their_parameter_sets_where_there_are_no_idr_pictures(
    tmp_path: Path,
) -> None:
    options = {"x264-params": "open-gop=1:b-pyramid=normal", "preset": "veryfast"}
    video = write_video(tmp_path / "video.mp4", b_frames=2, **options)
    units = units_of(read(video))
    keys = [unit for unit in units if unit.key]
    assert len(keys) >= 3
    bare = annex_b(video, "h264_mp4toannexb")
    assert not {nal[0] & 31 for nal in nal_units(bare[-1])} >= PARAMETER_SETS
    for unit in units:
        kinds = {nal[0] & 31 for nal in nal_units(unit.data)}
        assert (kinds >= PARAMETER_SETS) == unit.key
        assert unit.key or unit.data in bare


def test_what_an_edit_list_cuts_away_is_sent_and_no_frame_of_it_expected(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", b_frames=2)
    data = bytearray(video.read_bytes())
    at = data.index(b"elst") + 4 + 8  # version and flags, count, duration
    media_time = int.from_bytes(data[at + 4 : at + 8], "big")
    with av.open(str(video)) as container:
        step = round(Fraction(1, FPS) / container.streams.video[0].time_base)
    data[at + 4 : at + 8] = (media_time + 12 * step).to_bytes(4, "big")
    video.write_bytes(data)
    shown = shown_by_a_player(video)
    assert len(shown) == 48
    units = units_of(read(video))
    assert len(units) == 60
    wanted = [unit.timestamp_us for unit in units if unit.frame]
    assert sorted(wanted) == pytest.approx([number * 1e6 / FPS for number in range(48)], abs=99)
    assert len(decoded(video)) == 48


def test_jpegs_without_their_tables_are_decoded_from_the_first_on(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.avi", "mjpeg", count=8, huffman="default")
    whole = packets(video)
    data = video.read_bytes()
    for packet in whole:
        stripped = without_huffman_tables(packet)
        # In place, because the file has an index: zeros behind the end of an image.
        data = data.replace(packet, stripped + bytes(len(packet) - len(stripped)))
    video.write_bytes(data)
    assert all(b"\xff\xc4" not in packet for packet in packets(video))
    with VideoSource(str(video)) as source:
        assert source.about.codec is Codec.MJPEG
        items = list(source.items(pictures=False))
        assert source.decoding
    assert [item.picture is not None for item in items] == [True] * 8


def without_huffman_tables(jpeg: bytes) -> bytes:
    while (at := jpeg.find(b"\xff\xc4")) >= 0:
        jpeg = jpeg[:at] + jpeg[at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big") :]
    return jpeg


@pytest.mark.parametrize("b_frames", [0, 2])
def test_each_unit_has_its_picture_the_last_ones_too(tmp_path: Path, b_frames: int) -> None:
    video = write_video(tmp_path / "video.mp4", b_frames=b_frames, count=20)
    items = read(video, pictures=True)
    stamps = [item.unit.timestamp_us for item in items if item.unit is not None]
    pictures = {item.timestamp_us: item.picture for item in items if item.picture is not None}
    assert sorted(pictures) == sorted(stamps)
    assert [pictures[stamp].to_ndarray().sum() for stamp in sorted(stamps)] == shown_by_a_player(
        video
    )


def test_two_fields_in_packets_of_their_own_may_be_one_frame(tmp_path: Path) -> None:
    fields = tmp_path / "fields.h264"
    pictures = [Coded(number, 40 + number, key=number == 0, fields=True) for number in range(6)]
    fields.write_bytes(b"".join(access_units(pictures)))
    with VideoSource(str(fields)) as source:
        assert source.about.fields
        assert len(units_of(source.items(pictures=False))) == 12
    with VideoSource(str(write_video(tmp_path / "frames.mp4"))) as source:
        assert not source.about.fields


def test_pixels_that_are_not_square_are_told_of_as_they_are_shown(tmp_path: Path) -> None:
    found = {}
    for turned in ((0, False), (90, False)):
        video = write_video(tmp_path / "video.mp4", count=2, aspect=Fraction(64, 45), turned=turned)
        with VideoSource(str(video)) as source:
            about = source.about
            found[turned[0]] = (about.width, about.height, about.sample_aspect_ratio)
    assert found == {
        0: (WIDTH, HEIGHT, Fraction(64, 45)),
        90: (HEIGHT, WIDTH, Fraction(45, 64)),
    }
    with VideoSource(str(write_video(tmp_path / "square.mp4", count=2))) as source:
        assert source.about.sample_aspect_ratio == 1


def test_jpegs_of_a_file_that_lies_do_not_pass_as_they_are(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mov", "mjpeg", count=4, turned=(90, False))
    with VideoSource(str(video)) as source:
        assert source.about.codec is None
        items = list(source.items(pictures=False))
    assert {(item.picture.width, item.picture.height) for item in items} == {(HEIGHT, WIDTH)}


def test_a_source_that_is_opened_again_goes_on_from_where_it_was(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.ts", count=10)
    with VideoSource(str(video), begin_us=5_000_000) as source:
        stamps = [item.timestamp_us for item in source.items(pictures=False)]
        assert source.last_us >= stamps[-1] - STEP_US
    assert stamps == pytest.approx([5e6 + number * 1e6 / FPS for number in range(10)], abs=20)


def test_what_nothing_here_decodes_is_refused_in_words(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mkv", "mpeg4", count=2)
    data = video.read_bytes()
    at = data.index(b"V_MPEG4/ISO/ASP")
    video.write_bytes(data[:at] + b"V_UNKNOWN/ABCDE" + data[at + 15 :])
    with pytest.raises(SourceUnreadable, match="nothing here decodes"):
        VideoSource(str(video))
