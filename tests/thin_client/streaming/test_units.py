from __future__ import annotations

from pathlib import Path

import av
import pytest

from tests.thin_client.streaming.videos import annex_b, write_video
from thin_client.contract import Codec
from thin_client.streaming.units import is_disposable, is_key, nal_types, with_parameter_sets

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


@pytest.mark.parametrize(("codec", "decoder"), [(Codec.H264, "h264"), (Codec.H265, "hevc")])
def test_the_rest_decodes_as_well_without_what_is_disposable(
    tmp_path: Path, codec: Codec, decoder: str
) -> None:
    encoder, suffix, to_annex_b = KINDS[codec]
    video = write_video(tmp_path / f"video.{suffix}", encoder, count=40, b_frames=2)
    units = annex_b(video, to_annex_b)
    kept = [unit for unit in units if not is_disposable(unit, codec)]
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


def test_parameter_sets_come_before_a_key_frame_that_lacks_them(tmp_path: Path) -> None:
    (first, *_) = annex_b(write_video(tmp_path / "video.mp4", count=2), "h264_mp4toannexb")
    sets = b"\x00\x00\x00\x01\x67set\x00\x00\x00\x01\x68set"
    assert with_parameter_sets(first, Codec.H264, sets) == first
    bare = b"\x00\x00\x01\x65slice"
    assert with_parameter_sets(bare, Codec.H264, sets) == sets + bare
    assert with_parameter_sets(bare, Codec.H264, b"") == bare


def test_types_are_read_behind_start_codes_of_both_lengths() -> None:
    data = b"\x00\x00\x00\x01\x67a\x00\x00\x01\x68b\x00\x00\x01\x65c"
    assert [kind for kind, _ in nal_types(data, Codec.H264)] == [7, 8, 5]
