from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import pytest

from tests.h264_pcm import Coded, access_units
from tests.thin_client.streaming.rtsp import nal_units
from tests.thin_client.streaming.videos import annex_b, write_video
from thin_client.contract import Codec
from thin_client.streaming import units as units_module
from thin_client.streaming.source import VideoSource
from thin_client.streaming.units import contents, is_key, parameter_sets

KINDS = {
    Codec.H264: ("libx264", "mp4", "h264_mp4toannexb"),
    Codec.H265: ("libx265", "mp4", "hevc_mp4toannexb"),
}


@pytest.mark.parametrize("codec", KINDS)
def test_key_frames_are_where_the_container_says(tmp_path: Path, codec: Codec) -> None:
    encoder, suffix, to_annex_b = KINDS[codec]
    video = write_video(tmp_path / f"video.{suffix}", encoder, count=50, key_every=20)
    with av.open(str(video)) as container:
        expected = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    assert [is_key(unit, codec) for unit in annex_b(video, to_annex_b)] == expected
    assert expected.count(True) == 3


@pytest.mark.parametrize(
    ("options", "recovery"),
    [
        ({"b_frames": 2, "x264-params": "open-gop=1:b-pyramid=normal"}, 0),
        ({"x264-params": "intra-refresh=1"}, 18),
    ],
    ids=["open groups", "refreshed in strips"],
)
@pytest.mark.parametrize("suffix", ["mp4", "ts"])
def test_recovery_points_are_keys_where_there_are_no_idr_pictures(
    tmp_path: Path, options: dict[str, Any], recovery: int, suffix: str
) -> None:
    video = write_video(tmp_path / f"video.{suffix}", preset="veryfast", **options)
    with av.open(str(video)) as container:
        expected = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    units = annex_b(video, "h264_mp4toannexb")
    found = [contents(unit, Codec.H264).recovery for unit in units]
    assert [frames is not None for frames in found] == expected
    assert expected.count(True) >= 3
    assert found[0] == 0
    assert {frames for frames in found[1:] if frames is not None} == {recovery}
    assert not any(nal[0] & 31 == 5 for unit in units[1:] for nal in nal_units(unit))


@pytest.mark.parametrize(
    ("sei", "frames"),
    [
        (b"\x06\x01\xc0\x80", 0),  # ue 0
        (b"\x06\x01\x60\x80", 2),  # ue 2
        (b"\x05\x02ab\x06\x01\x60\x80", 2),  # behind another message
        (b"\x05\xff\x01" + 256 * b"a" + b"\x06\x01\x60\x80", 2),  # behind a long one
        (b"\x05\x04\x00\x00\x03\x00\x01\x06\x01\x60\x80", 2),  # behind escaped bytes
        (b"\x05\x02ab\x80", None),
        (b"\x05\xff\xff\xff", None),
        (b"\x06", None),
        (b"", None),
    ],
)
def test_a_recovery_point_is_found_among_other_messages(sei: bytes, frames: int | None) -> None:
    unit = b"\x00\x00\x00\x01\x06" + sei + b"\x00\x00\x01\x41slice"
    assert contents(unit, Codec.H264).recovery == frames
    assert is_key(unit, Codec.H264) is (frames is not None)


def test_parameter_sets_alone_have_no_picture(tmp_path: Path) -> None:
    unit = access_units([Coded(0, 90, key=True)])[0]
    assert contents(unit, Codec.H264).has_picture
    sets = b"".join(unit.partition(b"\0\0\0\1\x65")[:1])
    assert [nal[0] & 31 for nal in nal_units(sets)] == [7, 8]
    assert not contents(sets, Codec.H264).has_picture
    video = write_video(tmp_path / "video.mp4", "libx265", count=3)
    (first, *_) = annex_b(video, "hevc_mp4toannexb")
    assert contents(first, Codec.H265).has_picture
    sets = b"\0\0\0\1\x40\x01vps\0\0\0\1\x42\x01sps"
    assert not contents(sets, Codec.H265).has_picture


def test_the_parameter_sets_of_a_container_are_those_of_its_stream(tmp_path: Path) -> None:
    found = {}
    for suffix in ("mp4", "ts"):
        with av.open(str(write_video(tmp_path / f"video.{suffix}", count=3))) as container:
            found[suffix] = container.streams.video[0].codec_context.extradata
    assert found["mp4"][0] == 1  # avcC
    assert parameter_sets(found["ts"], Codec.H264) == found["ts"]
    assert nal_units(parameter_sets(found["mp4"], Codec.H264)) == nal_units(found["ts"])
    for size in range(len(found["mp4"])):
        parameter_sets(found["mp4"][:size], Codec.H264)
    assert parameter_sets(None, Codec.H264) == b""


@pytest.mark.parametrize(("codec", "decoder"), [(Codec.H264, "h264"), (Codec.H265, "hevc")])
def test_the_rest_decodes_as_well_without_what_is_disposable(
    tmp_path: Path, codec: Codec, decoder: str
) -> None:
    encoder, suffix, to_annex_b = KINDS[codec]
    video = write_video(tmp_path / f"video.{suffix}", encoder, count=40, b_frames=2)
    units = annex_b(video, to_annex_b)
    kept = [unit for unit in units if not contents(unit, codec).disposable]
    assert len(kept) < len(units)

    def decoded(of: list[bytes]) -> dict[int, bytes]:
        context = av.CodecContext.create(decoder, "r")
        context.thread_count = 1
        frames = {}
        for number, unit in enumerate(units):
            if unit in of:
                packet = av.Packet(unit)
                packet.pts = number
                frames |= {f.pts: f.to_ndarray().tobytes() for f in context.decode(packet)}
        frames |= {f.pts: f.to_ndarray().tobytes() for f in context.decode(None)}
        return frames

    whole, thinned = decoded(units), decoded(kept)
    assert len(thinned) == len(kept)
    assert all(whole[number] == picture for number, picture in thinned.items())


@pytest.mark.parametrize("codec", KINDS)
def test_a_unit_says_whether_it_brings_parameter_sets(tmp_path: Path, codec: Codec) -> None:
    encoder, suffix, to_annex_b = KINDS[codec]
    video = write_video(tmp_path / f"video.{suffix}", encoder, count=3)
    units = annex_b(video, to_annex_b)
    assert [contents(unit, codec).has_sets for unit in units] == [True, False, False]


@pytest.mark.parametrize("codec", KINDS)
def test_a_packet_is_looked_through_once(
    tmp_path: Path, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    look = units_module._headers
    monkeypatch.setattr(
        units_module, "_headers", lambda data: looks.append(len(data)) or look(data)
    )
    encoder, suffix, _ = KINDS[codec]
    video = write_video(tmp_path / f"video.{suffix}", encoder, count=30, key_every=10, b_frames=2)
    with VideoSource(str(video)) as source:
        sizes = [len(item.unit.data) for item in source.items(pictures=False) if item.unit]
    assert len(looks) == 30
    assert looks == sizes


def test_units_begin_behind_start_codes_of_both_lengths() -> None:
    data = b"\x00\x00\x00\x01\x67a\x00\x00\x01\x68b\x00\x00\x01\x65c"
    assert [data[at] & 31 for at in units_module._headers(data)] == [7, 8, 5]
