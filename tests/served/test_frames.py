from __future__ import annotations

import dataclasses
import threading

import cv2
import numpy as np
import pytest
from contract import DamagedImages, ImageStatus
from PIL import Image

import frame_loader
from cores import allowed_cores
from decode import DecodeLimits, decode_image
from frame_loader import FrameLoader
from frames import SCALED, FrameFormat, LoadedFrame, load_frame
from tests import images

WANTED = FrameFormat(64, 64, DecodeLimits(2**20, 10**6))
GOOD = images.encoded(images.photograph(60, 40))


def test_an_image_fills_its_frame() -> None:
    frame = np.zeros((64, 64, 3), np.uint8)
    loaded = load_frame(GOOD, frame, WANTED)
    assert loaded.status == ImageStatus.OK
    assert loaded.size == (60, 40)
    assert loaded.geometry[0] == 60
    assert frame.all()


def test_a_bad_image_leaves_padding_and_its_reason() -> None:
    frame = np.zeros((64, 64, 3), np.uint8)
    loaded = load_frame(b"junk", frame, WANTED)
    assert loaded.status == ImageStatus.UNSUPPORTED_FORMAT
    assert "JPEG" in loaded.reason
    assert loaded.size == (0, 0)
    assert (frame == 114).all()


@pytest.mark.parametrize("instances", [1, 2, 8])
def test_every_image_of_a_batch_comes_to_its_own_row(instances: int) -> None:
    loader = FrameLoader(WANTED, cores=4, instances=instances)
    for count in (1, 2, 3, 5, 16):
        sizes = [(10 + number, 20) for number in range(count)]
        files = [images.encoded(images.photograph(*size)) for size in sizes]
        frames, loaded = loader.load([files[:1], files[1:]])
        (together,) = frames.by_shape.values()
        assert together.shape == (count, 64, 64, 3)
        assert [frame.size for frame in loaded] == sizes
        for number, size in enumerate(sizes):
            alone = np.empty(WANTED.shape, np.uint8)
            load_frame(images.encoded(images.photograph(*size)), alone, WANTED)
            np.testing.assert_array_equal(together[number], alone)
            mine = frames.of_request(min(number, 1))[max(number - 1, 0)]
            np.testing.assert_array_equal(mine, alone)
    loader.close()


def test_each_image_has_its_own_say_of_damage() -> None:
    loader = FrameLoader(WANTED, cores=2, instances=1)
    cut = images.encoded(images.photograph())[:-999]
    asked = [DamagedImages.ACCEPT, DamagedImages.REFUSE, None, DamagedImages.ACCEPT]
    _, loaded = loader.load([[cut, cut], [cut, GOOD]], asked)
    loader.close()
    assert [frame.status.name for frame in loaded] == ["DAMAGED", "CORRUPT", "CORRUPT", "OK"]


def test_bad_images_stay_in_their_place_among_good_ones() -> None:
    loader = FrameLoader(WANTED, cores=2, instances=1)
    batch, loaded = loader.load([[GOOD, b"", GOOD, b"junk"]])
    loader.close()
    frames = batch.of_request(0)
    assert [frame.status for frame in loaded] == [0, ImageStatus.EMPTY, 0, 2]
    np.testing.assert_array_equal(frames[0], frames[2])
    assert (frames[1] == 114).all()


def test_a_batch_without_images_waits_for_none() -> None:
    loader = FrameLoader(WANTED, cores=2, instances=1)
    frames, loaded = loader.load([])
    loader.close()
    assert frames.by_shape == {}
    assert loaded == []


def test_a_fault_of_ours_with_one_image_costs_no_other() -> None:
    loader = FrameLoader(WANTED, cores=2, instances=1)
    _, loaded = loader.load([[GOOD], [42], [GOOD]])  # type: ignore[list-item]
    assert isinstance(loaded[1], TypeError)
    assert [loaded[0].status, loaded[2].status] == [0, 0]
    assert loader.load([[GOOD]])[1][0].status == 0
    loader.close()


@pytest.mark.parametrize(
    ("cores", "instances", "wanted", "count", "threads"),
    [
        (1, 2, 0, 16, 1),
        (2, 2, 0, 1, 1),
        (2, 2, 0, 4, 1),  # the other process has the other core
        (2, 2, 0, 16, 2),  # a client's batch
        (2, 1, 0, 2, 2),
        (16, 2, 0, 5, 5),
        (16, 2, 0, 16, 8),
        (16, 4, 0, 40, 10),
        (16, 4, 0, 400, 16),
        (16, 2, 3, 16, 3),
        (2, 2, 4, 16, 4),
        (2, 2, 4, 1, 1),
    ],
)
def test_as_many_threads_as_were_asked_for_or_its_share_of_the_cores(
    cores: int,
    instances: int,
    wanted: int,
    count: int,
    threads: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All threads meet at a barrier: fewer would wait for ever, more would break it."""
    barrier = threading.Barrier(threads)
    seen: set[int] = set()

    def meet(image: bytes, frame: np.ndarray, *rest: object) -> LoadedFrame:
        if threading.get_ident() not in seen:
            seen.add(threading.get_ident())
            barrier.wait(timeout=30)
        return load_frame(image, frame, *rest)

    monkeypatch.setattr(frame_loader, "load_frame", meet)
    loader = FrameLoader(WANTED, cores, instances, wanted)
    _, loaded = loader.load([[GOOD] * count])
    loader.close()
    assert [each.status for each in loaded] == [0] * count
    assert len(seen) == threads


@pytest.mark.parametrize(
    ("size", "decoded"),
    [
        ((640, 360), (80, 45)),  # the drawn size is 64x36, an eighth is 80x45
        ((512, 400), (64, 50)),
        ((200, 100), (100, 50)),  # a quarter would be too small
        ((127, 64), (127, 64)),
        ((30, 20), (30, 20)),
    ],
)
def test_scaled_decoding_keeps_as_many_pixels_as_are_drawn(
    size: tuple[int, int], decoded: tuple[int, int]
) -> None:
    data = images.encoded(images.photograph(*size))
    image = decode_image(data, WANTED.limits, WANTED.drawn_size)
    assert image.bgr.shape == (decoded[1], decoded[0], 3)
    assert (image.width, image.height) == size


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_scaled_frames_show_the_same_picture_in_the_same_place(orientation: int) -> None:
    scaled = dataclasses.replace(WANTED, decoder=SCALED)
    smooth = cv2.GaussianBlur(images.photograph(640, 300), (0, 0), 12)
    data = images.with_orientation(images.encoded(smooth), orientation)
    exact_frame, scaled_frame = (np.empty(WANTED.shape, np.uint8) for _ in range(2))
    exact_loaded = load_frame(data, exact_frame, WANTED)
    scaled_loaded = load_frame(data, scaled_frame, scaled)
    np.testing.assert_array_equal(exact_loaded.geometry, scaled_loaded.geometry)
    assert exact_loaded.size == scaled_loaded.size
    assert not np.array_equal(exact_frame, scaled_frame)  # it did take the other way
    difference = np.abs(exact_frame.astype(int) - scaled_frame)
    assert difference.max() <= 6


def test_a_truncated_image_is_refused_however_it_is_decoded() -> None:
    data = images.encoded(images.photograph(640, 360))
    frame = np.empty(WANTED.shape, np.uint8)
    loaded = load_frame(data[: len(data) // 2], frame, dataclasses.replace(WANTED, decoder=SCALED))
    assert loaded.status == ImageStatus.CORRUPT


def test_cores_follow_the_affinity_and_the_container_quota(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr("cores.CGROUP_V2_QUOTA", quota)
    monkeypatch.setattr("cores.CGROUP_V1_QUOTA", tmp_path / "missing")
    assert allowed_cores() == 8
    for text, expected in (("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1)):
        quota.write_text(text)
        assert allowed_cores() == expected
    quota.unlink()
    v1 = tmp_path / "cfs_quota_us"
    monkeypatch.setattr("cores.CGROUP_V1_QUOTA", v1)
    period = tmp_path / "cfs_period_us"
    monkeypatch.setattr("cores.CGROUP_V1_PERIOD", period)
    period.write_text("100000")
    for text, expected in (("-1", 8), ("400000", 4)):
        v1.write_text(text)
        assert allowed_cores() == expected


RECTANGLES = dataclasses.replace(WANTED, stride=8)


def photograph(width: int, height: int) -> bytes:
    return images.encoded(images.photograph(width, height))


def test_a_frame_is_the_smallest_rectangle_of_the_stride_that_holds_its_image() -> None:
    loader = FrameLoader(RECTANGLES, cores=2, instances=1)
    sizes = [(128, 72), (72, 128), (100, 100), (300, 10), (5, 3)]
    frames, loaded = loader.load([[photograph(*size)] for size in sizes])
    loader.close()
    shapes = [frames.shape_of(number)[:2] for number in range(len(sizes))]
    assert shapes == [(40, 64), (64, 40), (64, 64), (8, 64), (40, 64)]
    assert [frame.size for frame in loaded] == sizes


def test_frames_of_one_shape_lie_together_whichever_requests_they_are_of() -> None:
    loader = FrameLoader(RECTANGLES, cores=2, instances=1)
    wide, tall = photograph(128, 72), photograph(72, 128)
    frames, _ = loader.load([[wide], [tall], [wide, wide]])
    loader.close()
    assert {shape: len(array) for shape, array in frames.by_shape.items()} == {
        (40, 64, 3): 3,
        (64, 40, 3): 1,
    }
    assert [frames.rows_of(number) for number in range(3)] == [
        slice(0, 1),
        slice(0, 1),
        slice(1, 3),
    ]
    for number in (0, 2):
        np.testing.assert_array_equal(frames.of_request(number)[0], frames.by_shape[40, 64, 3][0])


def test_images_of_several_sizes_in_one_request_get_whole_frames_as_predict_has_it() -> None:
    loader = FrameLoader(RECTANGLES, cores=2, instances=1)
    wide, tall = photograph(128, 72), photograph(72, 128)
    frames, loaded = loader.load([[wide, tall], [wide, b"junk", wide], [b"", b"junk"]])
    loader.close()
    assert [frames.shape_of(number)[:2] for number in range(3)] == [(64, 64), (40, 64), (64, 64)]
    assert [frame.status for frame in loaded[:2]] == [0, 0]
    alone = np.empty(WANTED.shape, np.uint8)
    load_frame(wide, alone, WANTED)
    np.testing.assert_array_equal(frames.of_request(0)[0], alone)
    assert (frames.of_request(1)[1] == 114).all()


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_shape_follows_the_upright_image(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = images.with_pillow(
        Image.fromarray(images.photograph(128, 72)), "JPEG", exif=exif.tobytes()
    )
    loader = FrameLoader(RECTANGLES, cores=1, instances=1)
    frames, (loaded,) = loader.load([[turned]])
    loader.close()
    is_tall = orientation in {6, 8}
    assert loaded.size == ((72, 128) if is_tall else (128, 72))
    assert frames.shape_of(0)[:2] == ((64, 40) if is_tall else (40, 64))


def test_no_side_is_shorter_than_the_network_takes() -> None:
    wanted = dataclasses.replace(RECTANGLES, least_side=32)
    loader = FrameLoader(wanted, cores=1, instances=1)
    frames, _ = loader.load([[photograph(300, 10)], [photograph(128, 72)]])
    loader.close()
    assert [frames.shape_of(number)[:2] for number in range(2)] == [(32, 64), (40, 64)]
