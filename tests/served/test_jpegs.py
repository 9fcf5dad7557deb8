"""A JPEG whose pixels are all there is read, whatever stands around them; others are refused."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress

import cv2
import numpy as np
import pytest
import simplejpeg
from contract import DamagedImages, ImageStatus

import jpeg
import jpeg_pixels
import jpeg_scans
from decode import DecodeLimits, decode_image
from frames import FrameFormat, load_frame
from jpeg import read_header
from jpeg_scans import read_scans
from tests import images, jpegs
from unreadable import UnreadableImageError

LIMITS = DecodeLimits(max_bytes=64 * 2**20, max_pixels=images.MAX_PIXELS)
ODD = jpegs.odd_jpegs()
DAMAGED = jpegs.damaged_jpegs()
PLAIN = images.encoded(images.photograph(80, 40))


@pytest.mark.parametrize("name", ODD)
def test_an_odd_picture_with_all_its_pixels_is_read(name: str) -> None:
    odd = ODD[name]
    if odd.said:
        # That it is odd: libjpeg-turbo, asked to be strict, refuses it with these words.
        with pytest.raises(ValueError, match=odd.said):
            simplejpeg.decode_jpeg(odd.data)
    found = decode_image(odd.data, LIMITS, accept_damaged=True)
    np.testing.assert_array_equal(found.bgr, decode_image(odd.source, LIMITS).bgr)
    assert not found.damaged


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_picture_is_refused_or_says_that_it_is(name: str) -> None:
    with pytest.raises(UnreadableImageError) as refused:
        decode_image(DAMAGED[name], LIMITS)
    assert refused.value.status is ImageStatus.CORRUPT
    found = decode_image(DAMAGED[name], LIMITS, accept_damaged=True)
    assert found.damaged
    assert found.bgr.shape == (240, 320, 3)


@pytest.mark.parametrize(
    "name", ["cut in the middle", "cut behind stray bytes", "an end in the middle"]
)
def test_what_came_before_the_damage_is_what_it_was(name: str) -> None:
    whole = decode_image(images.encoded(images.photograph()), LIMITS).bgr
    found = decode_image(DAMAGED[name], LIMITS, accept_damaged=True).bgr
    np.testing.assert_array_equal(found[:80], whole[:80])
    assert not np.array_equal(found[-8:], whole[-8:])


@pytest.mark.parametrize("part", range(1, 40))
def test_zeros_in_place_of_data_are_noticed(part: int) -> None:
    """But in the last group of blocks, where zeros may be what was there."""
    for data in (PLAIN, DAMAGED["a restart lost"]):
        cut = data[: (len(data) - 40) * part // 40]
        for end in (b"", b"\xff\xd9"):
            with pytest.raises(UnreadableImageError):
                decode_image(cut + bytes(20_000) + end, LIMITS)


@pytest.mark.parametrize("part", range(1, 60))
def test_however_much_is_cut_off_it_is_noticed(part: int) -> None:
    """Of pictures of every kind; the last bytes, of which most depends on, one by one."""
    for kind in (PLAIN, ODD["no end of a progressive picture"].source, DAMAGED["a restart lost"]):
        for cut in (kind[: -2 - part], kind[: len(kind) * part // 60]):
            for data in (cut, cut + b"\xff\xd9"):
                with pytest.raises(UnreadableImageError):
                    decode_image(data, LIMITS)


def test_a_picture_of_which_nothing_came_is_refused_all_the_same() -> None:
    scan = PLAIN.index(b"\xff\xda") + 14
    for data in (PLAIN[:scan], PLAIN[: scan - 3], PLAIN[:100], PLAIN[:scan] + b"\xff\xd9"):
        with pytest.raises(UnreadableImageError):
            decode_image(data, LIMITS, accept_damaged=True)
    broken = PLAIN.replace(b"\xff\xdb", b"\xff\xee")
    with pytest.raises(UnreadableImageError):
        decode_image(broken, LIMITS, accept_damaged=True)


def test_other_formats_are_refused_when_damaged_whatever_is_asked_for() -> None:
    for extension in (".png", ".webp", ".bmp"):
        data = images.encoded(images.photograph(), extension)
        with pytest.raises(UnreadableImageError):
            decode_image(data[: len(data) // 2], LIMITS, accept_damaged=True)


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("before", [b"\xff", b"\xff" * 300, b"\x55" * 7, b"\xff\xfe\x00\x00"])
def test_orientation_is_found_behind_whatever_stands_before_it(
    orientation: int, before: bytes
) -> None:
    turned = images.with_orientation(PLAIN, orientation)
    odd = jpegs.put_before(turned, 0xE1, before)
    if before.startswith(b"\x55"):
        # A JPEG is known by its third byte.
        odd = jpegs.put_before(
            jpegs.put_before(turned, 0xE1, jpegs.segment(0xFE, b"")), 0xE1, before
        )
    found = decode_image(odd, LIMITS).bgr
    np.testing.assert_array_equal(found, decode_image(turned, LIMITS).bgr)
    assert found.shape == ((80, 40, 3) if orientation == 6 else (40, 80, 3))


def test_what_is_not_named_by_turbojpeg_is_read_too() -> None:
    """Chroma at every third column; Pillow reads it, and a picture without an end is refused."""
    data = jpegs.one_scan_a_component(images.photograph(90, 60), across=3)
    with pytest.raises(ValueError, match=jpeg_pixels.UNKNOWN_SUBSAMPLING):
        simplejpeg.decode_jpeg(data)
    for odd in (data, jpegs.put_before(data, 0xDB, b"\x55" * 3)):
        expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(decode_image(odd, LIMITS).bgr, expected)
    with pytest.raises(UnreadableImageError):
        decode_image(data[:-20], LIMITS, accept_damaged=True)


def test_a_picture_in_inks_is_that_of_pillow_and_can_be_scaled() -> None:
    rgb = images.rgb_image(images.photograph())
    data = images.with_pillow(rgb.convert("CMYK"), "JPEG", quality=90)
    with images.opened(data) as image:
        expected = np.asarray(image.convert("RGB"))[:, :, ::-1]
    np.testing.assert_array_equal(decode_image(data, LIMITS).bgr, expected)
    assert decode_image(data, LIMITS, lambda w, h: (w // 4, h // 4)).bgr.shape == (60, 80, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:2] + b"\xff\xfe\x00\x02" * 1100 + data[2:], "too many segments"),
        (lambda data: data[:2] + b"\xff\xd0" * 1100 + data[2:], "too many segments"),
        (lambda data: jpegs.put_before(data, 0xC0, b"\xff\xd8"), "the marker FF D8"),
        (lambda data: jpegs.put_before(data, 0xC0, b"\xff\xf7"), "the marker FF F7"),
        (lambda data: jpegs.put_before(data, 0xC0, b"\xff\xd9"), "the marker FF D9"),
        (lambda data: data.replace(b"\xff\xc0\x00\x11", b"\xff\xc0\x00\x12"), "frame header"),
        (lambda data: data.replace(b"\xff\xc0", b"\xff\x01", 1), "no frame header"),
        (lambda data: jpegs.put_before(data, 0xDA, data[frame(data) :][:19]), "several frame"),
        (lambda data: jpegs.with_sampling(data, 5, 1), "frame header"),
        (lambda data: data[: data.index(b"\xff\xda")], "no first scan can be found"),
        (lambda data: jpegs.put_before(data, 0xDA, b"\xff\xe1\xff\xff"), "no first scan"),
        (lambda data: jpegs.put_before(data, 0xDA, b"\xff" * 2**20), "no first scan"),
        (lambda data: jpegs.put_before(data, 0xDA, bytes(2**20)), "no first scan"),
        (lambda data: strays_before(data, 2**18, 0xDB, 0xC0, 0xC4, 0xDA), "too many bytes between"),
    ],
)
def test_what_cannot_be_followed_to_the_first_scan_is_refused(change, words: str) -> None:
    for data in (change(PLAIN), change(PLAIN[:2] + b"\xff" + PLAIN[2:])):
        with pytest.raises(UnreadableImageError, match=words) as refused:
            decode_image(data, LIMITS, accept_damaged=True)
        assert refused.value.status is ImageStatus.CORRUPT


def strays_before(data: bytes, count: int, *markers: int) -> bytes:
    for marker in markers:
        data = jpegs.put_before(data, marker, b"\x55" * count)
    return data[:2] + b"\xff" + data[2:]


def frame(data: bytes) -> int:
    return data.index(b"\xff\xc0")


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC8, 0xCF, 0xDE, 0xDF])
def test_other_processes_are_named_whatever_stands_before_them(marker: int) -> None:
    other = PLAIN.replace(b"\xff\xc0", b"\xff" * 5 + bytes([marker]), 1)
    with pytest.raises(UnreadableImageError, match="lossless or hierarchical") as refused:
        decode_image(other, LIMITS)
    assert refused.value.status is ImageStatus.UNSUPPORTED_PIXELS


def test_components_that_nobody_has_are_named() -> None:
    two = PLAIN[: frame(PLAIN)] + jpegs.segment(0xC0, bytes([8, 0, 9, 0, 9, 2, 1, 17, 0, 2, 17, 0]))
    with pytest.raises(UnreadableImageError, match="a JPEG of 2 components") as refused:
        decode_image(two + PLAIN[frame(PLAIN) + 19 :], LIMITS)
    assert refused.value.status is ImageStatus.UNSUPPORTED_PIXELS


@pytest.mark.parametrize("before", [b"", b"\xff", b"\x55" * 3, b"\xff\xfe\x00\x02" * 900])
def test_scans_are_counted_whatever_stands_before_the_first_one(before: bytes) -> None:
    bomb = jpegs.put_before(images.scan_bomb(101), 0xDB, before)
    with pytest.raises(UnreadableImageError, match="too many scans"):
        decode_image(bomb, LIMITS, accept_damaged=True)
    with pytest.raises(UnreadableImageError, match="too many scans"):
        decode_image(bomb[:-2], LIMITS, accept_damaged=True)


def test_what_a_scan_touches_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan of 64x64 samples again and again; colour counts by how it is sampled."""
    first = read_scans(images.scan_bomb(1), read_header(images.scan_bomb(1)))
    assert first.ended
    assert first.complete
    planes = jpegs.one_scan_a_component(images.photograph(64, 64))
    pieces = jpegs.pieces_of(planes)
    again = b"".join((*pieces[:-1], *pieces[-3:]))
    monkeypatch.setattr(jpeg_scans, "MAX_SCANNED_SAMPLES", 64 * 64 * 4)
    assert decode_image(again, LIMITS).width == 64
    # However low the limit, each sample may come once.
    monkeypatch.setattr(jpeg_scans, "MAX_SCANNED_SAMPLES", 64 * 64)
    assert decode_image(planes, LIMITS).width == 64
    with pytest.raises(UnreadableImageError, match="too many scans"):
        decode_image(again, LIMITS)


def test_arithmetic_coding_counts_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    data = jpegs.arithmetic_grey(64, 64, 0xCA)
    again = data[data.index(b"\xff\xda") : -2]
    bomb = data[:-2] + again * 3 + data[-2:]
    assert decode_image(bomb, LIMITS).width == 64
    monkeypatch.setattr(jpeg_scans, "MAX_SCANNED_SAMPLES", 64 * 64 * 16)
    assert decode_image(data, LIMITS).width == 64
    with pytest.raises(UnreadableImageError, match="too many scans"):
        decode_image(bomb, LIMITS)
    # Not even one scan where it takes as long as many.
    monkeypatch.setattr(jpeg_scans, "MAX_SCANNED_SAMPLES", 64 * 64 * 2)
    for coding in (0xC9, 0xCA):
        with pytest.raises(UnreadableImageError, match="coding takes too long"):
            decode_image(jpegs.arithmetic_grey(64, 64, coding), LIMITS)


def test_a_flood_between_scans_is_refused() -> None:
    bomb = images.scan_bomb(3)
    last = bomb.rindex(b"\xff\xda")
    for flood in (b"\xff\xe2\x00\x02", b"\xff\xc4\x00\x02"):
        with pytest.raises(UnreadableImageError, match="too many segments"):
            decode_image(bomb[:last] + flood * 1100 + bomb[last:], LIMITS, accept_damaged=True)


def test_a_flood_behind_the_scan_never_reaches_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """libjpeg-turbo would keep a hundred bytes of memory for each four of it."""
    monkeypatch.setattr(jpeg_pixels, "HARMLESS_BYTES", 20_000)
    handed: list[int] = []
    real = simplejpeg.decode_jpeg

    def watched(data: bytes, **options: object) -> object:
        handed.append(data.count(b"\xff\xe2"))
        return real(data, **options)

    monkeypatch.setattr(simplejpeg, "decode_jpeg", watched)
    for odd in (b"", b"\x00"):
        flooded = PLAIN[:-2] + odd + b"\xff\xe2\x00\x02" * 6000 + PLAIN[-2:]
        found = decode_image(flooded, LIMITS).bgr
        np.testing.assert_array_equal(found, real(PLAIN, colorspace="BGR"))
    assert handed == [0, 0]


def test_the_largest_profile_is_no_flood() -> None:
    many = b"".join(jpegs.icc(part, 255) for part in range(1, 256)) * 3
    assert decode_image(jpegs.put_before(PLAIN, 0xDB, many), LIMITS).width == 80
    assert jpeg.MAX_SEGMENTS >= 64 * 2**20 // 2**16


def test_a_frame_of_a_damaged_picture_has_what_could_be_decoded() -> None:
    data = DAMAGED["cut in the middle"]
    frame = np.zeros((64, 64, 3), np.uint8)
    refusing = FrameFormat(64, 64, LIMITS)
    accepting = FrameFormat(64, 64, LIMITS, damaged=DamagedImages.ACCEPT)
    for wanted, asked in (
        (refusing, DamagedImages.ACCEPT),
        (accepting, DamagedImages.ACCEPT),
        (accepting, None),
    ):
        loaded = load_frame(data, frame, wanted, asked)
        assert (loaded.status, loaded.size) == (ImageStatus.DAMAGED, (320, 240))
        assert "damaged" in loaded.reason
        assert loaded.geometry[0] == 320
        assert len(np.unique(frame)) > 50
        assert load_frame(PLAIN, frame, wanted, asked).status is ImageStatus.OK
    for wanted, asked in ((refusing, None), (accepting, DamagedImages.REFUSE)):
        loaded = load_frame(data, frame, wanted, asked)
        assert (loaded.status, loaded.size) == (ImageStatus.CORRUPT, (0, 0))
        assert (frame == 114).all()


@pytest.mark.parametrize("last", [b"\x00", b"\xff\x00"])
@pytest.mark.parametrize("end", [b"", bytes(1), bytes(700), bytes(700) + b"\xff\xd9"])
def test_a_zero_may_be_the_last_byte_of_the_data(last: bytes, end: bytes) -> None:
    whole = next(data for data in flat_pictures() if data[:-2].endswith(last))
    expected = decode_image(whole, LIMITS).bgr
    np.testing.assert_array_equal(decode_image(whole[:-2] + end, LIMITS).bgr, expected)


def flat_pictures() -> Iterator[bytes]:
    """Pictures of four colours each, whose data are few bytes."""
    for seed in itertools.count():
        colours = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), dtype=np.uint8)
        yield images.encoded(colours.repeat(8, 0).repeat(8, 1))


@pytest.mark.parametrize(
    ("data", "refused", "accepted"),
    [
        (PLAIN, 1, 1),
        (ODD["no end"].data, 1, 1),
        (ODD["no end, and padded with zeros"].data, 1, 1),
        (ODD["1 stray bytes before DB"].data, 2, 2),
        (ODD["padding before its end"].data, 2, 2),
        (DAMAGED["a restart lost"], 1, 2),
        (DAMAGED["much padding before its end"], 2, 3),
        (DAMAGED["cut in the middle"], 1, 2),
        (DAMAGED["progressive, cut between scans"], 0, 1),
        (DAMAGED["a component without a scan"], 0, 1),
        (images.scan_bomb(20), 0, 1),
    ],
)
def test_no_picture_is_decoded_more_often_than_it_must(
    data: bytes, refused: int, accepted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    real = simplejpeg.decode_jpeg

    def counted(*arguments: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        return real(*arguments, **options)

    monkeypatch.setattr(simplejpeg, "decode_jpeg", counted)
    for accept, expected in ((False, refused), (True, accepted)):
        calls = 0
        with suppress(UnreadableImageError):
            decode_image(data, LIMITS, accept_damaged=accept)
        assert calls == expected, accept
