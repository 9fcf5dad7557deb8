"""A stream's packets in whatever order and state they arrive, against decoding them all."""

from __future__ import annotations

import os
import random
from contextlib import suppress

import numpy as np
import pytest
from contract import Codec, ImageStatus

import bits
import recovery_points
from frame_queue import DecodedFrame
from known_sets import SETS
from nal_units import Kind, NalUnit, annex_b, nal_units
from parameter_sets import SequenceSet
from refusals import RefusedPacketError, UndecodableError
from tests import videos
from tests.conftest import ROOT
from tests.videos import Picture
from video_decoder import VideoDecoder

CODECS = ("h264", "h265")
MOST_PIXELS = 10**6
PHOTOGRAPH = ROOT / "samples" / "warehouse.jpg"
WAITING, HELD_BACK, CORRUPT = (
    ImageStatus.WAITING_FOR_KEY_FRAME,
    ImageStatus.NO_FRAME_YET,
    ImageStatus.CORRUPT_PACKET,
)
Answer = ImageStatus | tuple[int, Picture]


@pytest.fixture(scope="module")
def packets() -> dict[str, list[bytes]]:
    pictures = list(videos.pan(PHOTOGRAPH, 30))
    return {codec: videos.encoded(codec, pictures) for codec in CODECS}


@pytest.fixture(scope="module")
def with_b_frames() -> dict[str, list[bytes]]:
    pictures = list(videos.pan(PHOTOGRAPH, 30))
    return {codec: videos.encoded(codec, pictures, gop=15, b_frames=3) for codec in CODECS}


def decoder(codec: str, max_pixels: int = MOST_PIXELS) -> VideoDecoder:
    return VideoDecoder(Codec(codec), max_pixels, lambda _: None, lambda _: None)


def answers(
    stream: VideoDecoder, packets: list[bytes], numbers: list[int] | None = None
) -> list[Answer]:
    """What each packet is answered with; a frame as its timestamp and pixels."""
    found: list[Answer] = []
    for number, packet in zip(numbers or range(len(packets)), packets, strict=True):
        answer = stream.decode(packet, number)
        if isinstance(answer, DecodedFrame):
            pixels = answer.frame.to_ndarray(format="bgr24")
            found.append((answer.timestamp, pixels))
        else:
            found.append(answer)
    return found


def frames_in(found: list[Answer]) -> dict[int, Picture]:
    return dict(answer for answer in found if isinstance(answer, tuple))


def statuses(found: list[Answer]) -> list[ImageStatus]:
    return [ImageStatus.OK if isinstance(answer, tuple) else answer for answer in found]


def assert_same(found: dict[int, Picture], expected: dict[int, Picture]) -> None:
    assert sorted(found) == sorted(expected)
    for number, picture in expected.items():
        np.testing.assert_array_equal(found[number], picture)


@pytest.mark.parametrize("codec", CODECS)
def test_every_packet_gives_its_frame_at_once(packets: dict[str, list[bytes]], codec: str) -> None:
    found = answers(decoder(codec), packets[codec])
    assert [answer[0] for answer in found if isinstance(answer, tuple)] == list(range(30))
    assert_same(frames_in(found), videos.decoded(codec, packets[codec]))


@pytest.mark.parametrize("codec", CODECS)
def test_frames_that_are_held_back_come_out_with_empty_packets(
    with_b_frames: dict[str, list[bytes]], codec: str
) -> None:
    stream = decoder(codec)
    found = answers(stream, with_b_frames[codec])
    held = statuses(found).count(HELD_BACK)
    assert held > 0
    found += answers(stream, [b""] * (held + 1))
    assert found[-1] is WAITING
    assert_same(frames_in(found), videos.decoded(codec, with_b_frames[codec]))


@pytest.mark.parametrize("codec", CODECS)
def test_after_the_last_frame_was_taken_out_a_key_frame_goes_on(
    with_b_frames: dict[str, list[bytes]], codec: str
) -> None:
    stream = decoder(codec)
    answers(stream, [*with_b_frames[codec], *[b""] * 6])
    again = [*with_b_frames[codec], *[b""] * 6]
    assert_same(frames_in(answers(stream, again)), videos.decoded(codec, with_b_frames[codec]))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("lost", [1, 4, 9])
def test_a_lost_packet_costs_the_frames_up_to_the_next_key_frame(
    packets: dict[str, list[bytes]], codec: str, lost: int
) -> None:
    sent = [number for number in range(30) if number != lost]
    found = answers(decoder(codec), [packets[codec][number] for number in sent], sent)
    expected = videos.decoded(codec, packets[codec])
    assert statuses(found) == [
        *[ImageStatus.OK] * lost,
        *[WAITING] * (9 - lost),
        *[ImageStatus.OK] * 20,
    ]
    good = {number: expected[number] for number in [*range(lost), *range(10, 30)]}
    assert_same(frames_in(found), good)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("lost", range(1, 30))
def test_a_lost_packet_among_b_frames_never_shows_a_wrong_frame(
    with_b_frames: dict[str, list[bytes]], codec: str, lost: int
) -> None:
    packets = with_b_frames[codec]
    sent = [number for number in range(30) if number != lost]
    stream = decoder(codec)
    found = answers(stream, [packets[number] for number in sent], sent)
    found += answers(stream, [b""] * 6, [99] * 6)
    expected = videos.decoded(codec, packets)
    shown = frames_in(found)
    for number, picture in shown.items():
        np.testing.assert_array_equal(picture, expected[number])
    key = videos.key_packets(codec, packets)
    after = min((number for number in key if number > lost), default=30)
    # All of the group after the next key frame, but for pictures that refer to what is gone.
    later = [number for number in range(after, 30) if number in shown]
    assert len(later) >= 30 - after - 3


@pytest.mark.parametrize("codec", CODECS)
def test_a_packet_that_was_cut_is_told_and_what_follows_waits(
    packets: dict[str, list[bytes]], codec: str
) -> None:
    damaged = list(packets[codec])
    damaged[10] = damaged[10][: len(damaged[10]) // 2]
    found = answers(decoder(codec), damaged)
    assert statuses(found) == [
        *[ImageStatus.OK] * 10,
        CORRUPT,
        *[WAITING] * 9,
        *[ImageStatus.OK] * 10,
    ]


@pytest.mark.parametrize("codec", CODECS)
def test_what_lies_behind_a_packet_in_memory_changes_nothing(
    packets: dict[str, list[bytes]], codec: str
) -> None:
    key_frame = packets[codec][10]
    for part in (0.3, 0.5, 0.7, 0.9):
        cut = key_frame[: int(len(key_frame) * part)]
        found = []
        for _ in range(100):
            # Half of what was there is given back, for the packet to lie in.
            rubbish = [os.urandom(len(cut) + 4 * more) for more in range(50)]
            del rubbish[::2]
            found += statuses(answers(decoder(codec), [cut]))
        assert len(set(found)) == 1


@pytest.mark.parametrize("place", [0.2, 0.3, 0.5, 0.7])
def test_the_hash_of_a_picture_tells_what_the_decoder_of_h265_does_not_notice(place: float) -> None:
    pictures = videos.pan(PHOTOGRAPH, 12)
    packets = videos.encoded("h265", pictures, gop=6, **{"x265-params": "hash=1"})
    packets[3] = videos.with_wrong_bytes(packets[3], int(len(packets[3]) * place))
    assert statuses(answers(decoder("h265"), packets)) == [
        *[ImageStatus.OK] * 3,
        CORRUPT,
        *[WAITING] * 2,
        *[ImageStatus.OK] * 6,
    ]


@pytest.mark.parametrize("codec", CODECS)
def test_a_stream_that_begins_in_the_middle_waits_for_a_key_frame(
    packets: dict[str, list[bytes]], codec: str
) -> None:
    found = answers(decoder(codec), packets[codec][3:])
    assert statuses(found) == [WAITING] * 7 + [ImageStatus.OK] * 20


@pytest.mark.parametrize("codec", CODECS)
def test_parameter_sets_are_remembered_for_key_frames_without(
    packets: dict[str, list[bytes]], codec: str
) -> None:
    kind = Codec(codec)

    def without_sets(packet: bytes) -> bytes:
        units = nal_units(packet, kind, MOST_PIXELS)
        return annex_b(unit for unit in units if unit.kind not in SETS)

    bare = [packets[codec][0], *map(without_sets, packets[codec][1:])]
    found = answers(
        decoder(codec), [*bare[:5], b"nonsense", *bare[5:]], [*range(5), 99, *range(5, 30)]
    )
    assert (
        statuses(found) == [ImageStatus.OK] * 5 + [CORRUPT] + [WAITING] * 5 + [ImageStatus.OK] * 20
    )


@pytest.mark.parametrize("codec", CODECS)
def test_parameter_sets_may_come_in_packets_of_their_own(codec: str) -> None:
    stream = decoder(codec)
    for width in (320, 402, 320):
        packets = videos.encoded(codec, videos.pan(PHOTOGRAPH, 3, width=width))
        alone = annex_b(
            unit for unit in nal_units(packets[0], Codec(codec), MOST_PIXELS) if is_set(unit)
        )
        bare = [without_sets(codec, packet) for packet in packets]
        found = answers(stream, [alone, *bare])
        assert found[0] in {WAITING, HELD_BACK}
        assert [picture.shape[1] for picture in frames_in(found).values()] == [width] * 3


def is_set(unit: NalUnit) -> bool:
    return unit.kind in SETS


def without_sets(codec: str, packet: bytes) -> bytes:
    return annex_b(
        unit for unit in nal_units(packet, Codec(codec), MOST_PIXELS) if not is_set(unit)
    )


@pytest.mark.parametrize("codec", CODECS)
def test_frames_change_their_size_at_a_key_frame(codec: str) -> None:
    small = videos.encoded(codec, videos.pan(PHOTOGRAPH, 6))
    large = videos.encoded(codec, videos.pan(PHOTOGRAPH, 6, width=402, height=242))
    found = answers(decoder(codec), [*small, *large, *small])
    shapes = [answer[1].shape[:2] for answer in found if isinstance(answer, tuple)]
    assert shapes == [(240, 320)] * 6 + [(242, 402)] * 6 + [(240, 320)] * 6


@pytest.mark.parametrize("codec", CODECS)
def test_a_size_that_is_refused_is_never_decoded(codec: str) -> None:
    sizes = []

    def admit(sequence: SequenceSet) -> None:
        sizes.append((sequence.width, sequence.height))
        raise RefusedPacketError("too large")

    stream = VideoDecoder(Codec(codec), 10**6, admit, lambda _: None)
    packets = videos.encoded(codec, videos.pan(PHOTOGRAPH, 3))
    with pytest.raises(RefusedPacketError):
        stream.decode(packets[0], 0)
    assert stream.decode(packets[1], 1) is WAITING
    assert sizes == [(320, 240)]


@pytest.mark.parametrize("codec", CODECS)
def test_the_decoder_itself_takes_no_larger_frame(codec: str) -> None:
    packets = videos.encoded(codec, videos.pan(PHOTOGRAPH, 1, width=600, height=400))
    assert statuses(answers(decoder(codec, max_pixels=10_000), packets)) == [CORRUPT]


@pytest.mark.parametrize("codec", CODECS)
def test_open_groups_of_pictures_are_decoded(codec: str) -> None:
    options = (
        {"x264-params": "open-gop=1:scenecut=0"}
        if codec == "h264"
        else {"x265-params": "open-gop=1:scenecut=0"}
    )
    pictures = videos.pan(PHOTOGRAPH, 30)
    packets = videos.encoded(codec, pictures, gop=10, b_frames=3, **options)
    expected = videos.decoded(codec, packets)
    stream = decoder(codec)
    whole = frames_in(answers(stream, [*packets, *[b""] * 6], [*range(30), *[99] * 6]))
    assert_same(whole, expected)
    sent = [number for number in range(30) if number != 2]
    found = answers(decoder(codec), [packets[number] for number in sent], sent)
    shown = frames_in(found)
    assert len(shown) > 10
    for number, picture in shown.items():
        np.testing.assert_array_equal(picture, expected[number])


@pytest.mark.parametrize("codec", CODECS)
def test_damaged_bits_harm_nobody_and_the_next_key_frame_heals(
    packets: dict[str, list[bytes]], with_b_frames: dict[str, list[bytes]], codec: str
) -> None:
    chance = random.Random(codec)  # noqa: S311 - the same damage every time
    for source in (packets[codec], with_b_frames[codec]):
        for _ in range(60):
            stream = decoder(codec)
            for packet in source[:15]:
                damaged = bytearray(packet)
                for _ in range(chance.choice([0, 1, 3, 30])):
                    damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
                # At its very beginning a stream may look like one that FFmpeg does not decode.
                with suppress(UndecodableError):
                    stream.decode(bytes(damaged[: chance.randrange(1, 2 * len(damaged))]), 0)
            fresh = answers(stream, packets[codec][:9])
            assert frames_in(fresh)[0].shape == (240, 320, 3)


@pytest.mark.parametrize("codec", CODECS)
def test_every_sei_is_read_once(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {f"{videos.ENCODERS[codec][3:]}-params": "open-gop=1:scenecut=0"}
    packets = videos.encoded(codec, videos.pan(PHOTOGRAPH, 30), b_frames=2, **options)
    read: list[bytes] = []

    def counted(data: bytes) -> bytes:
        read.append(data)
        return bits.without_emulation_prevention(data)

    monkeypatch.setattr(recovery_points, "without_emulation_prevention", counted)
    assert frames_in(answers(decoder(codec), packets))
    monkeypatch.undo()
    held = [
        unit
        for packet in packets
        for unit in nal_units(packet, Codec(codec), MOST_PIXELS)
        if unit.kind is Kind.SUPPLEMENT
    ]
    assert any(recovery_points.recovery_unit(unit, Codec(codec)) for unit in held) == (
        codec == "h264"
    )
    assert len(read) == len(held)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    "packet",
    [
        b"\0\0\1",
        b"\0\0\1\x67",
        b"\0\0\1\x42\x01",
        bytes(1000),
        b"\xff\xd8\xff",
        b"\0\0\1\x65" * 5000,
    ],
    ids=["start code", "sps", "h265 sps", "zeros", "jpeg", "units"],
)
def test_nonsense_is_a_corrupt_packet_or_waits(codec: str, packet: bytes) -> None:
    answer = decoder(codec).decode(packet, 0)
    assert answer in {CORRUPT, WAITING}
