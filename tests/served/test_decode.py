from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import simplejpeg
from contract import ImageStatus
from PIL import Image

from decode import DecodeLimits, decode_image
from tests import images
from unreadable import UnreadableImageError

LIMITS = DecodeLimits(max_bytes=64 * 2**20, max_pixels=images.MAX_PIXELS)
BAD_IMAGES = images.bad_images()


def reference(data: bytes) -> np.ndarray:
    """What ultralytics sees: cv2.imread in colour."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.parametrize("quality", [30, 80, 100])
@pytest.mark.parametrize("subsampling", ["420", "422", "444"])
def test_jpeg_pixels_are_those_of_opencv(quality: int, subsampling: str) -> None:
    factor = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{subsampling}")
    data = images.encoded(
        images.photograph(333, 217),
        ".jpg",
        *(cv2.IMWRITE_JPEG_QUALITY, quality),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor),
    )
    np.testing.assert_array_equal(decode_image(data, LIMITS).bgr, reference(data))


@pytest.mark.parametrize("extension", [".png", ".bmp", ".webp"])
def test_other_formats_have_the_pixels_of_opencv(extension: str) -> None:
    data = images.encoded(images.photograph(101, 77), extension)
    np.testing.assert_array_equal(decode_image(data, LIMITS).bgr, reference(data))


def test_progressive_jpeg_has_the_pixels_of_opencv() -> None:
    data = images.encoded(images.photograph(), ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    np.testing.assert_array_equal(decode_image(data, LIMITS).bgr, reference(data))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied_to_jpeg(orientation: int) -> None:
    data = images.with_orientation(images.encoded(images.photograph(60, 40)), orientation)
    upright = decode_image(data, LIMITS).bgr
    np.testing.assert_array_equal(upright, reference(data))
    assert upright.shape[:2] == ((60, 40) if orientation >= 5 else (40, 60))


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_exif_rotation_is_applied_to_other_formats(image_format: str) -> None:
    pixels = images.photograph(60, 40)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = images.with_pillow(images.rgb_image(pixels), image_format, exif=exif, lossless=True)
    expected = cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE)
    np.testing.assert_array_equal(decode_image(data, LIMITS).bgr, expected)


def test_a_broken_exif_block_does_not_cost_the_picture() -> None:
    data = images.encoded(images.photograph())
    broken = data[:2] + b"\xff\xe1\x00\x10Exif\x00\x00garbage!" + data[2:]
    np.testing.assert_array_equal(decode_image(broken, LIMITS).bgr, reference(data))


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_unknown_exif_rotation_is_none(orientation: int) -> None:
    data = images.encoded(images.photograph(60, 40))
    rotated = images.with_orientation(data, orientation)
    np.testing.assert_array_equal(decode_image(rotated, LIMITS).bgr, reference(data))


def test_grey_becomes_colour() -> None:
    grey = cv2.cvtColor(images.photograph(), cv2.COLOR_BGR2GRAY)
    for extension in (".jpg", ".png", ".bmp"):
        data = images.encoded(grey, extension)
        np.testing.assert_array_equal(decode_image(data, LIMITS).bgr, reference(data))


def test_alpha_is_dropped_as_opencv_drops_it() -> None:
    pixels = images.photograph()
    alpha = np.random.default_rng(3).integers(0, 256, pixels.shape[:2], dtype=np.uint8)
    data = images.encoded(np.dstack([pixels, alpha]), ".png")
    np.testing.assert_array_equal(decode_image(data, LIMITS).bgr, pixels)


def test_sixteen_bit_samples_keep_their_high_byte() -> None:
    rng = np.random.default_rng(4)
    for shape in ((40, 60), (40, 60, 3)):
        deep = rng.integers(0, 2**16, shape, dtype=np.uint16)
        pixels = decode_image(images.encoded(deep, ".png"), LIMITS).bgr
        expected = (deep >> 8).astype(np.uint8)
        np.testing.assert_array_equal(
            pixels, np.broadcast_to(expected.reshape(40, 60, -1), pixels.shape)
        )


def test_cmyk_jpeg_is_read() -> None:
    rgb = Image.new("RGB", (64, 48), (200, 30, 90))
    data = images.with_pillow(rgb.convert("CMYK"), "JPEG", quality=95)
    pixels = decode_image(data, LIMITS).bgr
    assert pixels.shape == (48, 64, 3)
    assert np.abs(pixels.astype(int) - [90, 30, 200]).max() <= 6


def test_palette_and_bilevel_images_are_read() -> None:
    rgb = images.rgb_image(images.photograph())
    for mode in ("P", "1", "LA"):
        source = rgb.convert(mode)
        expected = np.asarray(source.convert("RGB"))[:, :, ::-1]
        np.testing.assert_array_equal(
            decode_image(images.with_pillow(source, "PNG"), LIMITS).bgr, expected
        )


def test_animation_gives_its_first_frame() -> None:
    first, second = images.photograph(seed=1), images.photograph(seed=2)
    data = images.with_pillow(
        images.rgb_image(first),
        "WEBP",
        save_all=True,
        append_images=[images.rgb_image(second)],
        lossless=True,
    )
    np.testing.assert_array_equal(decode_image(data, LIMITS).bgr, first)


def test_a_few_padding_bytes_in_a_webcam_frame_are_forgiven() -> None:
    data = images.encoded(images.photograph())
    padded = data[:-2] + b"\x55" * 16 + data[-2:]
    with pytest.raises(ValueError, match="extraneous bytes"):
        simplejpeg.decode_jpeg(padded)
    np.testing.assert_array_equal(decode_image(padded, LIMITS).bgr, reference(data))
    with pytest.raises(UnreadableImageError):
        decode_image(data[:-2] + b"\x55" * 40 + data[-2:], LIMITS)
    decode_image(data + b"trailing bytes after the image", LIMITS)


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_bad_image_is_refused_in_words(name: str) -> None:
    data, status = BAD_IMAGES[name]
    with pytest.raises(UnreadableImageError) as refusal:
        decode_image(data, LIMITS)
    assert refusal.value.status == ImageStatus[status]
    sentence = str(refusal.value)
    assert sentence.startswith("the image")
    assert "/" not in sentence
    assert "\n" not in sentence


def test_there_are_at_least_thirty_kinds_of_bad_image() -> None:
    assert len(BAD_IMAGES) >= 30


@pytest.mark.parametrize("part", range(1, 40))
def test_a_jpeg_cut_anywhere_is_refused(part: int) -> None:
    data = images.encoded(images.photograph())
    with pytest.raises(UnreadableImageError):
        decode_image(data[: len(data) * part // 40], LIMITS)


def test_a_file_over_the_limit_is_refused_before_it_is_read() -> None:
    data = images.encoded(images.photograph())
    with pytest.raises(UnreadableImageError, match=r"at most 1000 are allowed") as refusal:
        decode_image(data, DecodeLimits(max_bytes=1000, max_pixels=10**8))
    assert refusal.value.status == ImageStatus.TOO_MANY_BYTES


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".bmp"])
def test_an_image_over_the_pixel_limit_is_refused(extension: str) -> None:
    data = images.encoded(images.photograph(100, 100), extension)
    assert decode_image(data, DecodeLimits(2**20, 10_000)).bgr.shape == (100, 100, 3)
    with pytest.raises(UnreadableImageError, match=r"100x100 where at most 9999") as refusal:
        decode_image(data, DecodeLimits(2**20, 9999))
    assert refusal.value.status == ImageStatus.TOO_MANY_PIXELS


def test_ordinary_progressive_pictures_are_no_bombs() -> None:
    image = images.rgb_image(images.photograph(1000, 700))
    data = images.with_pillow(image, "JPEG", progressive=True)
    assert data.count(b"\xff\xda") > 5
    np.testing.assert_array_equal(decode_image(data, LIMITS).bgr, reference(data))
    with pytest.raises(UnreadableImageError, match="too many scans"):
        decode_image(images.scan_bomb(101), LIMITS)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_garbage_for_exif_does_not_cost_the_picture(image_format: str) -> None:
    image = images.rgb_image(images.photograph())
    data = images.with_pillow(image, image_format, exif=b"Exif\x00\x00garbage")
    np.testing.assert_array_equal(decode_image(data, LIMITS).bgr, reference(data))


def test_large_pictures_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("decode.LARGE_IMAGE_PIXELS", 1000)
    at_once, most = 0, 0
    real = cv2.imdecode

    def slow(*arguments: object) -> object:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.02)
        at_once -= 1
        return real(*arguments)

    monkeypatch.setattr(cv2, "imdecode", slow)
    data = images.encoded(images.photograph(100, 100), ".png")
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: decode_image(data, LIMITS).bgr, range(8)))
    assert most == 1
