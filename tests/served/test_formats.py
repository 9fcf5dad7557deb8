"""What is not read is told by its name; orientation is read from EXIF alone."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from contract import STATUS_SENTENCES, ImageStatus
from PIL import Image

from decode import DecodeLimits, decode_image
from exif import orientation_of
from tests import images, videos
from unreadable import UnreadableImageError

LIMITS = DecodeLimits(max_bytes=64 * 2**20, max_pixels=images.MAX_PIXELS)
RGB = images.rgb_image(images.photograph(32, 32))


def media_file(brand: bytes, *others: bytes) -> bytes:
    """The beginning of an ISO base media file."""
    body = b"ftyp" + brand + bytes(4) + b"".join(others)
    return struct.pack(">I", len(body) + 4) + body + b"\0\0\0\x08mdat"


NAMED = {
    "HEIC from a phone": (media_file(b"heic", b"mif1", b"heic"), "HEIC"),
    "HEIC of any encoder": (media_file(b"mif1", b"mif1", b"heic"), "HEIC"),
    "HEIC sequence": (media_file(b"msf1", b"hevc"), "HEIC"),
    "AVIF that Pillow writes": (images.with_pillow(RGB, "AVIF"), "AVIF"),
    "AVIF": (media_file(b"avif", b"mif1", b"miaf"), "AVIF"),
    "AVIF behind its family's brand": (media_file(b"mif1", b"avif", b"miaf"), "AVIF"),
    "GIF": (images.with_pillow(RGB.convert("P"), "GIF"), "GIF"),
    "TIFF": (images.with_pillow(RGB, "TIFF"), "TIFF"),
    "TIFF of the other byte order": (b"MM\0*" + bytes(20), "TIFF"),
    "BigTIFF": (b"II+\0\x08\0" + bytes(20), "TIFF"),
    "JPEG 2000": (images.with_pillow(RGB, "JPEG2000"), "JPEG 2000"),
    "JPEG 2000 without its container": (
        images.with_pillow(RGB, "JPEG2000", no_jp2=True),
        "JPEG 2000",
    ),
    "JPEG XL": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(20), "JPEG XL"),
    "JPEG XL without its container": (b"\xff\x0a" + bytes(20), "JPEG XL"),
    "PDF": (images.with_pillow(RGB, "PDF"), "PDF"),
    "MP4": (media_file(b"isom", b"iso2", b"avc1", b"mp41"), "MP4 video"),
    "QuickTime": (media_file(b"qt  "), "QuickTime video"),
    "Matroska": (b"\x1a\x45\xdf\xa3" + bytes(40), "Matroska or WebM video"),
    "AVI": (b"RIFF\x24\0\0\0AVI LIST" + bytes(40), "AVI video"),
    "MPEG-TS": ((b"G" + bytes(187)) * 2, "an MPEG transport stream"),
    "MPEG-PS": (b"\0\0\1\xba" + bytes(40), "MPEG video"),
    "FLV": (b"FLV\1" + bytes(40), "FLV video"),
}


@pytest.mark.parametrize("name", NAMED)
def test_a_refused_format_is_named(name: str) -> None:
    data, called = NAMED[name]
    with pytest.raises(UnreadableImageError) as refused:
        decode_image(data, LIMITS)
    assert refused.value.status is ImageStatus.UNSUPPORTED_FORMAT
    assert str(refused.value) == (
        f"{STATUS_SENTENCES[ImageStatus.UNSUPPORTED_FORMAT]}: this is {called}; the pipeline reads"
        " JPEG, PNG, WebP and BMP"
    )


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_a_packet_of_video_is_named(codec: str) -> None:
    packet = videos.encoded(codec, [images.photograph(48, 32)])[0]
    with pytest.raises(UnreadableImageError, match=f"this is H.26{codec[-1]} video"):
        decode_image(packet, LIMITS)


@pytest.mark.parametrize("data", [b"text", bytes(100), b"RIFF\x24\0\0\0WAVEfmt ", b"G", b"\0\0\1"])
def test_what_nobody_knows_has_no_name(data: bytes) -> None:
    with pytest.raises(UnreadableImageError) as refused:
        decode_image(data, LIMITS)
    assert str(refused.value) == STATUS_SENTENCES[ImageStatus.UNSUPPORTED_FORMAT]


def block(order: str, *entries: tuple[int, int, bytes], offset: int = 8) -> bytes:
    """An EXIF block of tags with their types and four bytes of value each."""
    magic = b"II*\0" if order == "<" else b"MM\0*"
    directory = struct.pack(f"{order}H", len(entries))
    for tag, kind, value in entries:
        directory += struct.pack(f"{order}HHI", tag, kind, 1) + value.ljust(4, b"\0")
    return magic + struct.pack(f"{order}I", offset) + bytes(offset - 8) + directory + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_read_in_both_byte_orders(order: str, orientation: int) -> None:
    for kind, form in ((3, "H"), (4, "I")):
        value = struct.pack(f"{order}{form}", orientation)
        plain = block(order, (0x0110, 2, b"me"), (0x0112, kind, value))
        for whole in (plain, b"Exif\0\0" + plain, block(order, (0x0112, kind, value), offset=99)):
            assert orientation_of(whole) == orientation
            assert image_exif(whole) == orientation


def image_exif(whole: bytes) -> int:
    exif = Image.Exif()
    exif.load(whole)
    return int(exif.get(0x0112, 1))


@pytest.mark.parametrize(
    "odd",
    [
        None,
        b"",
        b"Exif\0\0",
        b"Exif\0\0garbage that is long enough to be a directory",
        block("<"),
        block("<", (0x0112, 3, b"\0\0")),
        block("<", (0x0112, 3, b"\x09\0")),
        block("<", (0x0112, 1, b"\x06\0")),
        block("<", (0x0112, 2, b"\x06\0")),
        block("<", (0x0112, 3, b"\x06\0"))[:-12],
        block(">", (0x0112, 3, b"\x06\0")),
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff" + bytes(12),
        b"II*\0\0\0\0\0" + bytes(40),
    ],
)
def test_a_block_that_makes_no_sense_turns_nothing(odd: bytes | None) -> None:
    assert orientation_of(odd) == 1


def test_a_block_of_which_every_tag_claims_all_is_read_for_one_tag() -> None:
    # Five thousand tags of 64 kB each, all of them the block itself.
    tags = [(tag, 1, struct.pack("<I", 0)) for tag in range(0x1000, 0x1000 + 5000)]
    assert orientation_of(block("<", *tags, (0x0112, 3, b"\x06\0"))) == 6


def test_a_webp_is_turned_by_its_exif_and_by_no_text() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = images.photograph(40, 20)
    turned = images.with_pillow(images.rgb_image(wide), "WEBP", lossless=True, exif=exif)
    xmp = b'<rdf:Description tiff:Orientation="6"/>'
    text = images.with_pillow(images.rgb_image(wide), "WEBP", lossless=True, xmp=xmp)
    assert decode_image(turned, LIMITS).bgr.shape == (40, 20, 3)
    np.testing.assert_array_equal(decode_image(text, LIMITS).bgr, wide)
